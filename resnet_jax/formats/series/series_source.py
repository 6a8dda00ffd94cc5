"""Series in memory: what a file holds as examples, and the checked source that is made of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.label_kinds import check_precision
from resnet_jax.errors import composed

SeriesLabels = Literal["class", "targets"]
Missing = Literal["error", "linear"]
_DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?", re.ASCII)


class Example(NamedTuple):
    """One labelled series of a file."""

    place: str  # "line 12", for messages
    label: str
    values: np.ndarray  # float64 [l, C]; NaN: missing


class SeriesFile(NamedTuple):
    """The contents of one file."""

    name: str
    examples: list[Example]
    classes: tuple[str, ...] | None = None  # in the order that the file declares; None: it declares none


@dataclass(frozen=True, eq=False)
class SeriesSource:
    """Labelled series of one split, in memory."""

    values: np.ndarray  # float32 [n, L, C]; zeros behind a series' length
    lengths: np.ndarray  # int32 [n]
    labels: np.ndarray  # int32 [n]: classes; or float32 [n, 1]: numbers to predict
    classes: tuple[str, ...]  # names of the classes, or of the number
    file: str
    places: tuple[str, ...]  # of each series in the file

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int | np.ndarray]:
        """One series in its own length, float32 [l, C], and its label."""
        label = self.labels[index]
        return self.values[index, : self.lengths[index]], int(label) if self.labels.ndim == 1 else label

    def name(self, index: int) -> str:
        """Name of a series in messages."""
        return f"{self.file}, {self.places[index]}"


def label_name(text: str) -> str:
    """The name of a class: a number without decimals, as "1" for "1.0000000e+00", and other texts as they are."""
    text = composed(text.strip())
    if _DECIMAL.fullmatch(text) and float(text).is_integer():
        return str(int(float(text)))
    return text


def as_source(
    file: SeriesFile,
    *,
    label_kind: SeriesLabels = "class",
    missing: Missing = "error",
    like: SeriesSource | None = None,
) -> SeriesSource:
    """The source of a file's series. Numbered classes are in the order of their numbers.

    Args:
      missing: "error", or "linear": missing values inside a series are interpolated, at its ends repeated. Behind a
        series, values that are missing in all channels are no part of it.
      like: the training split, whose channels and classes other splits share.

    Raises:
      ValueError: there are no series; one without values, with missing ones, other channels, or an impossible label.
    """
    if not file.examples:
        raise ValueError(f"{file.name}: expected series, got none")
    series = [complete(trimmed(one.values), f"{file.name}, {one.place}", missing) for one in file.examples]
    channels = series[0].shape[1] if like is None else like.values.shape[2]
    for one, values in zip(file.examples, series, strict=True):
        if values.shape[1] != channels:
            which = "the first series" if like is None else "training"
            problem = f"expected {channels} channels, as in {which}, got {values.shape[1]}"
            raise ValueError(f"{file.name}, {one.place}: {problem}")
    lengths = np.array([len(values) for values in series], np.int32)
    padded = np.zeros((len(series), lengths.max(), channels), np.float32)
    for row, values in zip(padded, series, strict=True):
        with np.errstate(over="ignore"):  # checked below
            row[: len(values)] = values
    if len(wrong := np.flatnonzero(~np.isfinite(padded).all((1, 2)))):
        raise ValueError(f"{file.name}, {file.examples[wrong[0]].place}: expected finite values of float32, got others")
    labels, classes = _targets(file) if label_kind == "targets" else _classes(file, like)
    return SeriesSource(padded, lengths, labels, classes, file.name, tuple(one.place for one in file.examples))


def trimmed(values: np.ndarray) -> np.ndarray:
    """The series without what is missing in all channels at its end."""
    present = np.flatnonzero(~np.isnan(values).all(1))
    return values[: present[-1] + 1 if len(present) else 0]


def complete(values: np.ndarray, name: str, missing: Missing) -> np.ndarray:
    """The series without missing values."""
    if not len(values):
        raise ValueError(f"{name}: expected a series with values, got none")
    is_missing = np.isnan(values)
    if not is_missing.any():
        return values
    if missing == "error":
        place, channel = np.argwhere(is_missing)[0]
        which = f"value {place + 1}" + f" of channel {channel + 1}" * (values.shape[1] > 1)
        raise ValueError(f"{name}: {which} is missing; missing='linear' interpolates")
    filled = values.copy()
    for channel, (column, absent) in enumerate(zip(filled.T, is_missing.T, strict=True)):
        if absent.all():
            raise ValueError(f"{name}: channel {channel + 1} has no values")
        column[absent] = np.interp(np.flatnonzero(absent), np.flatnonzero(~absent), column[~absent])
    return filled


def _targets(file: SeriesFile) -> tuple[np.ndarray, tuple[str, ...]]:
    targets = np.zeros((len(file.examples), 1))
    for row, one in zip(targets, file.examples, strict=True):
        try:
            row[0] = float(one.label)
        except ValueError:
            row[0] = np.nan
        if not np.isfinite(row[0]):
            raise ValueError(f"{file.name}, {one.place}: expected a finite number as target, got {one.label[:50]!r}")
    check_precision(targets, file.name)
    return targets.astype(np.float32), ("target",)


def _classes(file: SeriesFile, like: SeriesSource | None) -> tuple[np.ndarray, tuple[str, ...]]:
    names = [label_name(one.label) for one in file.examples]
    if empty := next((one.place for one, name in zip(file.examples, names, strict=True) if not name), None):
        raise ValueError(f"{file.name}, {empty}: expected a class, got none")
    classes = _ordered(file.classes or sorted(set(names))) if like is None else like.classes
    index = {name: place for place, name in enumerate(classes)}
    for one, name in zip(file.examples, names, strict=True):
        if name not in index:
            expected = "one of training" if like is not None else "one of @classLabel"
            raise ValueError(
                f"{file.name}, {one.place}: class {name[:50]!r}; expected {expected}: {join_names(classes)}"
            )
    return np.array([index[name] for name in names], np.int32), classes


def _ordered(names: Sequence[str]) -> tuple[str, ...]:
    """Names in their order; numbers by value."""
    are_numbers = all(re.fullmatch(r"(?a:[+-]?\d+)", name) for name in names)
    return tuple(sorted(names, key=int) if are_numbers else names)
