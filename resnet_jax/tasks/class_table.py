"""Table of the confusion between classes, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnet_jax.text import columns, fit_width, printable

ROWS = 10  # classes in a shortened table


def class_table(
    rows: Sequence[Mapping[str, Any]], macro: Mapping[str, float], *, width: int, all_in: str, noun: str = "images"
) -> list[str]:
    """Table of at most `width` columns: classes by increasing recall, then the macro averages.

    Args:
      rows: one record per class: "class", "images", "recall", "precision", "f1", "mistaken_for".
      all_in: a note on where to find the classes that a long table omits.
      noun: what the examples are called.
    """
    tested = sorted((row for row in rows if row["images"]), key=lambda row: (row["recall"], -row["images"]))
    is_long = len(tested) > ROWS + 2
    shown = tested[:ROWS] if is_long else tested
    average = f"mean of {len(tested):,} classes"
    names = [printable(row["class"]) for row in shown]
    keys = ("recall", "precision", "f1") if width >= 50 else ("recall",)
    heads = dict(
        zip(("recall", "precision", "f1"), (f"{'recall':>9}", f"{'precision':>11}", f"{'F1':>9}"), strict=True)
    )
    numbers = f"{noun:>9}{''.join(heads[key] for key in keys)}"
    room = min(max(columns(name) for name in [*names, average]), max(10, width - len(numbers)))
    aside = width - room - len(numbers) - 2  # columns for "mistaken for"
    aside = aside if aside >= 12 else 0

    def line(name: str, images: int, values: Mapping[str, Any], others: str = "") -> str:
        row = "".join(_number(values[key], len(heads[key])) for key in keys)
        return f"{fit_width(name, room)}{images:>9,}{row}  {others}".rstrip()

    lines = [f"{fit_width('class', room)}{numbers}{'  mistaken for' * bool(aside)}"]
    for name, row in zip(names, shown, strict=True):
        lines.append(line(name, row["images"], row, _others(row["mistaken_for"], aside) if aside else ""))
    if is_long:
        lines.append(f"... and {len(tested) - ROWS:,} classes with higher recall{all_in}")
    lines.append(line(average, sum(row["images"] for row in tested), macro))
    if untested := len(rows) - len(tested):
        lines.append(f"{untested:,} {'classes have' if untested > 1 else 'class has'} no {noun} here")
    return lines


def _others(counts: Mapping[str, int], width: int) -> str:
    """ "dog (3), owl (1)": the first entries that fit into `width` columns."""
    shown = ""
    for name, count in counts.items():
        longer = f"{shown}{', ' * bool(shown)}{printable(name)} ({count})"
        if columns(longer) > width:
            return shown or fit_width(longer, width)
        shown = longer
    return shown


def _number(value: float | None, width: int) -> str:
    return f"{'-' if value is None else f'{value:.4f}':>{width}}"
