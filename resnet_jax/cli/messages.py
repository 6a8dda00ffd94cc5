"""Messages of the command line: one line for a mistake, options as they are typed."""

from __future__ import annotations

import re
import sys
from typing import NoReturn

from resnet_jax.config import Config, flat, to_dict

NAMES = [re.escape(name.rstrip("_")) for name in flat(to_dict(Config()))]
IN_GROUPS, OTHERS = ("|".join(name for name in NAMES if ("." in name) == dotted) for dotted in (True, False))
# "workdir" and "task" are words of sentences too.
FIELD = re.compile(rf"(?<![\w./'\"-])((?:{IN_GROUPS})(?!\w|\.\w)|(?:{OTHERS})(?==|: expected))(=)?")

TASKS = {"class": "classification", "multi-hot": "multilabel", "targets": "regression"}  # by the labels they need
LABEL_KIND = re.compile(rf"label_kind='({'|'.join(TASKS)})'")


def fail(message: str) -> NoReturn:
    """Prints one line of error and exits with status 2."""
    print(f"error: {' '.join(as_typed(message).split())}", file=sys.stderr)
    raise SystemExit(2)


def as_typed(message: str) -> str:
    """The message with options in place of fields of a config: "data.batch_size=3" becomes "--data.batch-size 3".

    Functions that read data name a kind of labels, the command line the task that needs it.
    """
    message = LABEL_KIND.sub(lambda match: f"--task {TASKS[match[1]]}", message)
    return FIELD.sub(lambda match: option_of(match[1]) + (" " if match[2] else ""), message)


def option_of(field: str) -> str:
    """The option of a config's field: "--init.from" of "init.from_"."""
    return "--" + field.rstrip("_").replace("_", "-")
