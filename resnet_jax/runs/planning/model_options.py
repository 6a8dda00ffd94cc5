"""Options of a net that have no field in the config, as texts NAME=VALUE."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

OF_FLAX = ("name", "parent")  # fields of every module
OF_THE_DATA = ("num_classes", "in_channels")


def parse_options(texts: Sequence[str], taken: Iterable[str] = ()) -> dict[str, Any]:
    """Options by name: numbers, tuples and other literals of Python, or texts; "a,b" is ("a", "b").

    Args:
      taken: names that the config has fields for.

    Raises:
      ValueError: a text of another form, or a name that is the data's or Flax's, has a field or comes twice.
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.isidentifier() and equals and value):
            raise ValueError(f"--model.options: expected NAME=VALUE, as fpn_features=64, got {text!r}")
        if name in OF_THE_DATA:
            raise ValueError(f"--model.options {text}: the data decides {name}; expected another option")
        if name in OF_FLAX:
            raise ValueError(f"--model.options {text}: {name} is for submodules; expected another option")
        if name in taken:
            raise ValueError(f"--model.options {text}: expected --model.{name.replace('_', '-')} {value}")
        if name in options:
            raise ValueError(f"--model.options has {name} twice; expected it once")
        options[name] = _value(value)
    return options


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return tuple(text.split(",")) if "," in text else text
