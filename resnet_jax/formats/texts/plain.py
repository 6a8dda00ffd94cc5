"""Plain text for language models: lines of one or several files, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.formats.texts.reading import Text, read_text

LONGEST = 4096  # characters; a longer line is several items, so that parts of the text can be cut from it


def open_lines(name: str, files: Sequence[Path]) -> ArraySource:
    """The lines of these files, one after the other, with their line ends: joined, they are the text.

    Raises:
      ValueError: a file that cannot be read; no text at all.
    """
    texts = [line for file in files for line in _lines(file, with_name=len(files) > 1)]
    if not any(one.text.strip() for one in texts):
        raise ValueError(f"{name}: there is no text")
    items, places = [one.text.encode() for one in texts], np.array([one.place for one in texts], object)
    return ArraySource(items, np.zeros(len(items), np.int32), (), name, places)


def _lines(file: Path, *, with_name: bool) -> Iterator[Text]:
    name = f"{file.name}, " if with_name else ""
    for number, line in enumerate(_with_line_ends(read_text(file)), 1):
        for part, text in enumerate(_parts(line)):
            yield Text(f"{name}line {number}" + (f", part {part + 1}" if part else ""), text)


def _with_line_ends(text: str) -> list[str]:
    """The lines, each with "\n" behind it."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return [f"{line}\n" for line in lines]


def _parts(line: str) -> Iterator[str]:
    """A line in parts of at most `LONGEST` characters, which end behind a space where there is one."""
    while len(line) > LONGEST:
        cut = line.rfind(" ", 0, LONGEST) + 1 or LONGEST
        yield line[:cut]
        line = line[cut:]
    yield line
