"""Files of text: their contents as UTF-8, and sources of texts in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource

MOST_BYTES = 2**31  # of a file, which is read whole
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # at the beginning of files of some editors


class Text(NamedTuple):
    """One text of a file or a folder."""

    place: str  # "line 12" or "pos/3.txt", for messages
    text: str


def read_text(file: Path) -> str:
    """The contents of a file, with line ends as they are.

    Raises:
      ValueError: no file, too large, or not UTF-8; the message names the line.
    """
    if not file.is_file():  # a pipe would block for ever
        raise ValueError(f"{file} cannot be read: not a file")
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise ValueError(f"{file} has {size:,} bytes; expected at most {MOST_BYTES:,}")
        contents = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    try:
        return contents.decode("utf-8").removeprefix(MARK)
    except UnicodeDecodeError as error:
        line = contents[: error.start].count(b"\n") + 1
        raise ValueError(f"{file}, line {line}: expected UTF-8, got byte {contents[error.start]:#04x}") from None


def text_source(
    name: str, texts: Sequence[Text], labels: np.ndarray, classes: tuple[str, ...], *, skip_empty: bool = False
) -> tuple[ArraySource, int]:
    """The source of texts, stored as UTF-8, and the number of empty ones that are skipped.

    Raises:
      ValueError: an empty text, without `skip_empty`; none at all. The message names its place.
    """
    full = np.array([bool(one.text.strip()) for one in texts], bool)
    if not full.all() and not skip_empty:
        first = texts[int(np.flatnonzero(~full)[0])]
        count = f"; {int((~full).sum()):,} are empty" if (~full).sum() > 1 else ""
        raise ValueError(f"{name}, {first.place}: expected a text, got none{count}; go without: skip_unreadable=True")
    if not full.any():
        raise ValueError(f"{name}: there are no texts")
    chosen = [one for one, is_full in zip(texts, full, strict=True) if is_full]
    items = [one.text.encode("utf-8", errors="replace") for one in chosen]  # JSON may have half of a surrogate pair
    places = np.array([one.place for one in chosen], object)
    return ArraySource(items, labels[full], classes, name, places), int((~full).sum())
