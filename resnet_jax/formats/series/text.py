"""Lines and numbers of text files of series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

MOST_BYTES = 2**31
_MISSING = frozenset(("?", "", "nan"))


def text_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that are not empty, stripped.

    Raises:
      ValueError: no file, too large, or no text.
    """
    if not file.is_file():  # a pipe would block for ever
        raise ValueError(f"{file} cannot be read: not a file")
    if (size := file.stat().st_size) > MOST_BYTES:
        raise ValueError(f"{file} has {size:,} bytes; expected at most {MOST_BYTES:,}")
    try:
        with file.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if text := line.strip(" \r\n"):
                    yield number, text
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start:,}") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error}") from None


def is_number(text: str) -> bool:
    """Whether a text is a number, or stands for a missing one."""
    try:
        float(text)
    except ValueError:
        return text.strip().casefold() in _MISSING
    return True


def numbers(texts: Sequence[str], name: str) -> np.ndarray:
    """Values float64 [l]; NaN for "?", "NaN" and nothing.

    Raises:
      ValueError: a text that is no number, or is infinite. The message begins with `name`.
    """
    try:
        values = np.array(texts, np.float64)
    except ValueError:
        values = np.array([_number(text, place, name) for place, text in enumerate(texts, 1)])
    if len(infinite := np.flatnonzero(np.isinf(values))):
        raise ValueError(
            f"{name}: value {infinite[0] + 1} is {texts[infinite[0]].strip()[:50]}; expected a finite number"
        )
    return values


def _number(text: str, place: int, name: str) -> float:
    text = text.strip()
    if text.casefold() in _MISSING:
        return np.nan
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: expected a number as value {place}, got {text[:50]!r}") from None
