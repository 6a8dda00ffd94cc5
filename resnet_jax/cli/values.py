"""Typed text into values: how a field of each type is typed, converted and named in the help."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from resnet_jax.cli.messages import fail
from resnet_jax.errors import did_you_mean, one_of

WITHOUT_COMMAS = ("NORM",)  # names of a list's values that never contain commas
SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Value:
    """How an option's value is typed."""

    metavar: str | None = None
    nargs: str | None = None
    convert: Callable[[str], Any] | None = None  # None: a switch


def value_of(hint: Any, name: str) -> Value:
    """The way to type a field of this type; values of a list have spaces or commas between them."""
    metavar: str | None = None
    optional = False
    words: tuple[str, ...] = ()
    is_single = False
    while True:
        if get_origin(hint) is Annotated:
            hint, *marks = get_args(hint)
            metavar = marks[0]
        elif get_origin(hint) in (Union, UnionType):
            optional = True
            either = [kind for kind in get_args(hint) if kind is not NoneType]
            if len(either) > 1:  # a word, or a list
                words = tuple(word for kind in either if get_origin(kind) is Literal for word in get_args(kind))
            lists = [kind for kind in either if get_origin(kind) is tuple]
            is_single = len(lists) == 1 and len(either) > 1 and not words  # one value is that value, not a list of it
            (hint,) = lists if is_single else (kind for kind in either if not words or get_origin(kind) is not Literal)
        else:
            break
    if hint is bool:
        return Value()
    count = None
    is_list = get_origin(hint) is tuple
    if is_list:
        kinds = get_args(hint)
        count = None if kinds[-1] is Ellipsis else len(kinds)
        hint = kinds[0]
        if get_origin(hint) is Annotated:
            hint, metavar = get_args(hint)
    if get_origin(hint) is Literal:
        metavar = "{" + ",".join(map(str, get_args(hint))) + "}"
    one = metavar or {int: "INT", float: "FLOAT"}.get(hint, name.rstrip("_").rpartition("_")[2].upper())
    if is_list and hint is str and metavar is None:
        one = one.removesuffix("ES" if one.endswith("SES") else "S")
    shown = one if not is_list else f"{one} ..." if count is None else " ".join([one] * count)
    if count is not None and metavar is not None:  # it names each value
        shown = metavar
    convert = Convert(hint, one, optional, is_list, count, words, is_single)
    return Value("|".join([*words, shown]), "*" if is_list else None, convert)


@dataclass(frozen=True)
class Convert:
    """Converts text to a value of a type. Raises ArgumentTypeError with what is expected."""

    hint: Any
    metavar: str
    optional: bool
    is_list: bool
    count: int | None
    words: tuple[str, ...] = ()  # one of which may stand in the place of a list
    is_single: bool = False  # whether a list of one value is that value

    def __call__(self, text: str) -> Any:
        if not self.is_list:
            return None if self.optional and text in ("None", "none") else self._one(text)
        if self.optional and text in ("None", "none"):
            return (None,)
        if (self.hint is str and self.metavar not in WITHOUT_COMMAS) or text in self.words:  # names may have commas
            return (text,)
        if "=" in text and self.hint is not str:  # CLASS=1,CLASS=2: names may have commas
            return tuple(self._one(part.strip()) for part in re.split(r"(?<=[\d.]),", text))
        return tuple(self._one(part.strip()) for part in text.strip("()[]").split(",") if part.strip())

    def join(self, values: list[Any], flag: str | None) -> tuple[Any, ...] | str | None:
        """The value of a list, from the values of its words."""
        if values == [None]:
            return None
        if len(values) == 1 and (values[0] in self.words or self.is_single):
            return values[0]
        mixed = any(value is None or value in self.words for value in values)
        if mixed or (self.count is not None and len(values) != self.count):
            expected = f"{self.count} values" if self.count else "|".join([*self.words, f"{self.metavar} ..."])
            if self.count and " " in self.metavar:
                expected += f", {self.metavar}"
            fail(f"{flag}: expected {expected}, got {' '.join(map(str, values)) or 'nothing'}")
        return tuple(values)

    def _one(self, text: str) -> Any:
        if get_origin(self.hint) is Literal:
            for choice in get_args(self.hint):
                if text == str(choice):
                    return choice
            choices = [str(choice) for choice in get_args(self.hint)]
            hint = did_you_mean(text, choices)
            hint = "" if hint.startswith("expected") else f"; {hint}"
            raise argparse.ArgumentTypeError(f"expected {one_of(choices)}, got {text!r}{hint}")
        if self.hint is int:
            return _whole_number(text)
        is_named = get_origin(self.hint) in (Union, UnionType)  # a number, or NAME=NUMBER
        if self.hint is float or is_named:
            if is_named and "=" in text:
                return text
            try:
                return float(text)
            except ValueError:
                expected = " or ".join(
                    [*self.words, "a number", *([self.metavar.rpartition("|")[2]] if is_named else [])]
                )
                raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None
        return text


def _whole_number(text: str) -> int:
    """The whole number that the text stands for, also as 64.0 or 1e2."""
    try:
        return int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
    if not number.is_integer():  # false for nan and inf too
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(number)


def is_switch_value(word: str, *, dotted: bool) -> bool:
    """Whether a word after a switch is its value; a bare 0 or 1 may be an argument of commands that take numbers."""
    return word.casefold() in SWITCH and (dotted or not word.isdecimal())


def is_number(word: str) -> bool:
    try:
        float(word.rstrip(",").split(",")[0])
    except ValueError:
        return False
    return True


class Store(argparse.Action):
    """Stores a value, or the values of a list, which may be typed with commas between them."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        convert: Any = self.type
        if isinstance(convert, Convert) and convert.is_list:
            values = convert.join([part for value in values for part in value], option_string)
        setattr(namespace, self.dest, values)
