"""Table of the scores of classes, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnet_jax.text import columns, fit_width, printable

ROWS = 20  # classes in a shortened table
CELL = 10  # least width of a number


def score_table(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str], *, width: int, all_in: str) -> list[str]:
    """Table of at most `width` columns: classes by increasing score, then the mean over those that have one.

    Args:
      rows: one record per class: its "class", a count and scores, None where undefined.
      titles: field -> heading: first of the count, then of the score that sorts the classes, then of others.
      all_in: a note on where to find the classes that a long table omits.
    """
    count, score, *_ = titles
    scored = sorted((row for row in rows if row[score] is not None), key=lambda row: (row[score], -row[count]))
    shown = scored[:ROWS] if len(scored) > ROWS + 2 else scored
    average = f"mean of {len(scored):,} classes"
    names = [printable(row["class"]) for row in shown]
    least = max(columns(name) for name in ("class", average))
    fields = dict(list(titles.items())[: max(2, (width - least) // CELL)])  # others do not fit
    widths = {name: max(CELL, len(title) + 2) for name, title in fields.items()}
    room = min(max(columns(name) for name in [*names, average]), max(least, width - sum(widths.values())))

    def line(name: str, values: Mapping[str, Any]) -> str:
        return fit_width(name, room) + "".join(_cell(values[key], widths[key]) for key in fields)

    lines = [fit_width("class", room) + "".join(f"{title:>{widths[key]}}" for key, title in fields.items())]
    lines += [line(name, row) for name, row in zip(names, shown, strict=True)]
    if others := len(scored) - len(shown):
        lines.append(f"... and {others:,} classes with higher scores{all_in}")
    if scored:
        means = {key: _mean([row[key] for row in scored]) for key in fields if key != count}
        lines.append(line(average, {count: sum(row[count] for row in scored), **means}))
    if absent := len(rows) - len(scored):
        lines.append(f"{absent:,} {'classes do' if absent > 1 else 'class does'} not occur here")
    return lines


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _cell(value: float | int | None, width: int) -> str:
    text = "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
    return f"{text:>{width}}"
