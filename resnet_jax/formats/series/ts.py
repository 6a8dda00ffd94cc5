"""The format .ts of the archives of time series of UCR and UEA.

Lines of `@name value`, a line `@data`, then one series a line: channels between colons, values between commas, the
label last. `#` or `%` begins a comment, `?` is a missing value.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_jax.errors import did_you_mean
from resnet_jax.formats.series.series_source import Example, SeriesFile, SeriesLabels, label_name
from resnet_jax.formats.series.text import numbers, text_lines

WORDS = {"true": True, "false": False}


class Header(NamedTuple):
    """What a file declares of its series; None: nothing."""

    channels: int | None = None
    equal_lengths: bool = False
    length: int | None = None
    classes: tuple[str, ...] | None = None
    has_labels: bool = True


def read_ts(file: Path, label_kind: SeriesLabels | None = "class") -> SeriesFile:
    """All series of a file. With a `label_kind` of None they may have any labels, or none, whose texts are "".

    Raises:
      ValueError: a line that is cut off or cannot be understood, or labels of another kind. The message names the line.
    """
    lines = ((number, line) for number, line in text_lines(file) if not line.startswith(("#", "%")))
    header = _header(file, lines, label_kind)
    examples: list[Example] = []
    for number, line in lines:
        one = _example(f"{file}, line {number}", number, line, header)
        if header.channels is None:
            header = header._replace(channels=one.values.shape[1])
        if header.equal_lengths and header.length is None:
            header = header._replace(length=len(one.values))
        examples.append(one)
    return SeriesFile(str(file), examples, header.classes)


def _header(file: Path, lines: Iterator[tuple[int, str]], label_kind: SeriesLabels | None) -> Header:
    """Reads the lines up to @data."""
    tags: dict[str, list[str]] = {}
    for number, line in lines:
        name, *values = line.split()
        if name.casefold() == "@data":
            return _checked(str(file), tags, label_kind)
        if not name.startswith("@"):
            raise ValueError(f"{file}, line {number}: expected @NAME VALUE or @data, got {line[:50]!r}")
        tags[name[1:].casefold()] = values
    raise ValueError(f"{file}: expected a line @data before the series, got none")


def _checked(file: str, tags: dict[str, list[str]], label_kind: SeriesLabels | None) -> Header:
    flags = {name: _flag(file, name, tags[name]) for name in
             ("timestamps", "univariate", "equallength", "classlabel", "targetlabel") if name in tags}  # fmt: skip
    if flags.get("timestamps"):
        raise ValueError(f"{file}: expected @timeStamps false, got true; series of values without times are read")
    has_classes, has_targets = flags.get("classlabel", False), flags.get("targetlabel", False)
    if not (has_classes or has_targets or label_kind is None):
        raise ValueError(
            f"{file}: expected @classLabel true or @targetLabel true, got neither; its series have no label"
        )
    if label_kind == "targets" and not has_targets:
        raise ValueError(f"{file}: has classes (@classLabel); expected label_kind='class'")
    if label_kind == "class" and not has_classes:
        raise ValueError(f"{file}: has numbers to predict (@targetLabel); expected label_kind='targets'")
    classes = tuple(map(label_name, tags["classlabel"][1:])) if label_kind == "class" else None
    if classes is not None and len(set(classes)) < len(classes):
        raise ValueError(f"{file}: expected each class of @classLabel once, got {' '.join(classes)}")
    channels = _count(file, "dimensions", tags) or _count(file, "dimension", tags)
    if channels is None and flags.get("univariate"):
        channels = 1
    equal = flags.get("equallength", False)
    length = _count(file, "serieslength", tags) if equal else None
    return Header(channels, equal, length, classes or None, has_classes or has_targets)


def _flag(file: str, name: str, values: list[str]) -> bool:
    value = values[0].casefold() if values else ""
    if value not in WORDS:
        raise ValueError(f"{file}: expected true or false behind @{name}, got {' '.join(values)[:50] or 'nothing'}")
    return WORDS[value]


def _count(file: str, name: str, tags: dict[str, list[str]]) -> int | None:
    if name not in tags:
        return None
    text = " ".join(tags[name])
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:10]) < 2**31):
        raise ValueError(f"{file}: expected a number of at least 1 behind @{name}, got {text[:50]!r}")
    return int(text)


def _example(name: str, number: int, line: str, header: Header) -> Example:
    *channels, label = line.split(":") if header.has_labels else [*line.split(":"), ""]
    if header.has_labels and not (channels and label.strip()):
        raise ValueError(f"{name}: expected values, a colon and a label, got a line without a label; it may be cut off")
    label = label.strip()
    if header.channels not in (None, len(channels)):
        raise ValueError(f"{name}: expected {header.channels} channels, got {len(channels)}")
    series = [numbers(text.split(","), name) for text in channels]
    if len(lengths := {len(values) for values in series}) > 1:
        raise ValueError(f"{name}: expected channels of one length, got {', '.join(map(str, sorted(lengths)))} values")
    if header.length not in (None, len(series[0])):
        raise ValueError(f"{name}: expected {header.length} values (@equalLength true), got {len(series[0])}")
    if header.classes is not None and label_name(label) not in header.classes:
        hint = did_you_mean(label[:50], header.classes)
        raise ValueError(f"{name}: class {label[:50]!r} is not in @classLabel; {hint}")
    return Example(f"line {number}", label, np.stack(series, 1))
