"""Names of config fields and of data's arguments in messages, as options of the command line."""

from __future__ import annotations

import ast
import re
import shlex

from resnet_jax.config.io import flat, to_dict
from resnet_jax.config.schema import Config

NAMES = [re.escape(name.rstrip("_")) for name in flat(to_dict(Config()))]
IN_GROUPS, OTHERS = ("|".join(name for name in NAMES if ("." in name) == dotted) for dotted in (True, False))
# "workdir" and "task" are words of sentences too.
FIELD = re.compile(rf"(?<![\w./'\"-])((?:{IN_GROUPS})(?!\w|\.\w)|(?:{OTHERS})(?==|: expected))(=)?")

# Functions that read data speak of their own arguments.
TASKS = {"class": "classification", "multi-hot": "multilabel", "targets": "regression"}  # by the labels they need
TASKS |= {"pixels": "segmentation", "boxes": "detection", "next-token": "language_model"}
TASKS |= {"transcript": "transcription", "caption": "contrastive"}
KINDS = {"sounds": "audio", "texts": "text"}
CHOICES = {
    **{f"label_kind='{kind}'": f"--task {task}" for kind, task in TASKS.items()},
    "skip_unreadable=True": "--data.unreadable skip",
    "missing='linear'": "--data.series.missing linear",
    "skip_invalid=True": "--data.invalid skip",
    "balance=True": "--data.balance",
    "ema=None or ema=False": "the raw weights, without --ema or --init.ema",
    **{f"; to read {noun}: kind='{kind}'": f"; to read {noun}: --data.kind {kind}" for noun, kind in KINDS.items()},
}
SAME = (
    "path labels label_column image_column annotations masks classes class_names per_class image_size channels".split()
)
ARGUMENTS = {name: f"data.{name}" for name in SAME} | {"test": "data.test_split"}
ARGUMENTS |= dict.fromkeys(("audio_column", "text_column"), "data.image_column")
ARGUMENTS |= {name: f"data.text.{name}" for name in ("context", "most", "least_count")} | {"window": "data.text.length"}
OF_TEXTS = re.compile(r"^(context|most|window):(?= expected)")
TEXT = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
ARGUMENT = re.compile(rf"(?<![\w./'\"(-])({'|'.join(ARGUMENTS)})=(\d+\b|{TEXT}|\({TEXT}(?:, {TEXT})*,?\))")


def as_typed(message: str) -> str:
    """The message with options in place of fields and arguments: "data.batch_size=3" becomes "--data.batch-size 3".

    "label_column='sick'", an argument of a function that reads data, becomes "--data.label-column sick".
    """
    message = OF_TEXTS.sub(lambda match: f"{option_of(ARGUMENTS[match[1]])}:", message)
    for choice, typed in CHOICES.items():
        message = message.replace(choice, typed)
    message = ARGUMENT.sub(lambda match: f"{option_of(ARGUMENTS[match[1]])} {_typed_value(match[2])}", message)
    return FIELD.sub(lambda match: option_of(match[1]) + (" " if match[2] else ""), message)


def with_model_option(message: str, option: str) -> str:
    """The message with an option for the argument `model`: "pass model='resnet18'" becomes "pass --model resnet18"."""
    message = message.replace("model=..., one of list_models()", f"{option}, one of: resnet-jax models")
    return re.sub(r"\bmodel='(\w+)'", rf"{option} \1", message)


def option_of(field: str) -> str:
    """The option of a config's field: "--init.from" of "init.from_"."""
    return "--" + field.rstrip("_").replace("_", "-")


def _typed_value(literal: str) -> str:
    value = ast.literal_eval(literal)
    return shlex.join(value if isinstance(value, tuple) else [str(value)])
