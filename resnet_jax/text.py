"""Text for terminals: names in any script, aligned in columns; and captions that count as equal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import accumulate

LISTED = 20  # the most classes that a table shows without shortening


def printable(name: str) -> str:
    """The name with unprintable characters escaped."""
    return "".join(x if x.isprintable() else x.encode("unicode_escape", "surrogatepass").decode() for x in name)


def caption_key(caption: str) -> str:
    """Equal for captions that differ in case and spaces alone."""
    return " ".join(caption.lower().split())


def printable_lines(text: str) -> str:
    """A text of one or more lines, as it can be shown: what names from files would do to a terminal is escaped."""
    return "\n".join(printable(line.replace("\t", " ")) for line in text.split("\n"))


def columns(text: str) -> int:
    """Width of a text in terminal columns."""
    wide = sum(unicodedata.east_asian_width(x) in "WF" for x in text)
    return len(text) + wide - sum(unicodedata.combining(x) > 0 for x in text)


def fit_width(text: str, width: int) -> str:
    """Returns the text padded or shortened to exactly `width` columns."""
    if columns(text) > width:
        ends = accumulate(map(columns, text))
        text = text[: sum(end <= width - 3 for end in ends)] + "..."
    return text + " " * (width - columns(text))


def count_table(classes: Sequence[str], counts: Mapping[str, Sequence[int]], *, width: int) -> list[str]:
    """Table of the images of each class in each split, about `width` columns wide.

    With more than 20 classes it shows the eight largest and the eight smallest classes of the first split.
    """
    first = list(next(iter(counts.values())))
    order = list(range(len(classes)))
    if is_long := len(order) > LISTED:
        order.sort(key=lambda k: -first[k])
        order = [*order[:8], *order[-8:]]
    widths = {split: max(len(split), 9) + 2 for split in counts}
    names = [printable(classes[k]) for k in order]
    room = min(max(map(columns, [*names, "class"])), max(12, width - sum(widths.values())))
    lines = [fit_width("class", room) + "".join(f"{split:>{w}}" for split, w in widths.items())]
    for k, name in zip(order, names, strict=True):
        lines.append(fit_width(name, room) + "".join(f"{counts[split][k]:>{w},}" for split, w in widths.items()))
    if is_long:
        lines.insert(9, f"... {len(classes) - 16:,} more classes ...")
    return lines


def decimals(value: float | None) -> str:
    """The value with four decimals; "-" for None and NaN."""
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def bytes_of(count: float) -> str:
    """A number of bytes with three digits and a unit: "85.8 kB", "330 GB"."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= 0.9995 * size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"
