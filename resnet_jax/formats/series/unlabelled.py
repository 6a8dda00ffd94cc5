"""Series to predict: files of those that are trained on, with labels that are ignored, and files without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_jax.errors import one_of
from resnet_jax.formats.npz import array_names, read_array
from resnet_jax.formats.series.rows import FORMATS, cells_of
from resnet_jax.formats.series.series_source import Missing, complete, label_name, trimmed
from resnet_jax.formats.series.text import is_number, numbers
from resnet_jax.formats.series.ts import read_ts
from resnet_jax.formats.tables import LABEL_COLUMNS, matching


class Unlabelled(NamedTuple):
    """Series of a file, float64 [l, C] each; those with missing values inside have NaN there."""

    series: list[np.ndarray]
    places: list[str]  # of each in the file: "line 12"
    note: str  # for a person, on what was taken as a label; "" for nothing


def read_unlabelled(file: Path, classes: Sequence[str] | None = None, missing: Missing = "error") -> Unlabelled:
    """All series of a .ts, .tsv, .csv, .txt or .npz.

    In a table whose first line has names, a column with a usual name of labels is ignored. Without names the first cell
    of a line is ignored where it is a class, or no number, in every line; otherwise it is a value.

    Args:
      classes: those of the net; None: it predicts numbers, and the first cell of a line is one of them.
      missing: "linear" interpolates missing values inside a series.

    Raises:
      ValueError: another kind of file, a broken one, or lines with and without a label. The message names the line.
    """
    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{file} is no file of series; expected a file {one_of(FORMATS)}")
    note = ""
    if suffix == ".npz":
        series, places = _of_array(file)
    elif suffix == ".ts":
        examples = read_ts(file, None).examples
        series, places = [one.values for one in examples], [one.place for one in examples]
    else:
        series, places, note = _of_rows(file, classes)
    if not series:
        raise ValueError(f"{file}: expected series, got none")
    series = [trimmed(one) for one in series]
    if missing == "linear":
        series = [complete(one, f"{file}, {place}", missing) for one, place in zip(series, places, strict=True)]
    return Unlabelled(series, places, note)


def _of_array(file: Path) -> tuple[list[np.ndarray], list[str]]:
    names = array_names(file)
    if "x" not in names and len(names) > 1:
        raise ValueError(f"{file}: expected an array x of series to predict, got {', '.join(sorted(names))}")
    name = "x" if "x" in names else next(iter(names))
    values = read_array(file, name)
    if not (np.issubdtype(values.dtype, np.number) and values.ndim in (2, 3)) or np.iscomplexobj(values):
        raise ValueError(
            f"{file}, {name}: expected numbers [n, L] or [n, L, C], got {values.dtype} {list(values.shape)}"
        )
    values = (values[..., None] if values.ndim == 2 else values).astype(np.float64)
    return list(values), [f"series {place} of {name}" for place in range(len(values))]


def _of_rows(file: Path, classes: Sequence[str] | None) -> tuple[list[np.ndarray], list[str], str]:
    rows = list(cells_of(file))
    first = [cell.strip().strip('"') for cell in rows[0][1]] if rows else []
    column, note = matching(first, LABEL_COLUMNS), ""
    has_names = column is not None or sum(not is_number(cell) for cell in first) > 1
    rows = rows[1:] if has_names else rows
    place = None if column is None else first.index(column)
    if not has_names and (place := _label_place(file, rows, classes)) is not None:
        note = f"{file}: the first cell of each line is taken as its label, which is not used"
    series = []
    for number, cells in rows:
        name = f"{file}, line {number}"
        if len(cells) != len(first):
            raise ValueError(f"{name}: expected {len(first)} cells, as in the first line, got {len(cells)}")
        values = numbers([cell for i, cell in enumerate(cells) if i != place], name)
        series.append(values[:, None])
    return series, [f"line {number}" for number, _ in rows], note


def _label_place(file: Path, rows: Sequence[tuple[int, list[str]]], classes: Sequence[str] | None) -> int | None:
    """0 where the first cell of every line is its label; None where it is a value."""
    if classes is None:
        return 0
    cells = [(number, cells[0].strip().strip('"')) for number, cells in rows]
    are_labels = [label_name(cell) in classes or not is_number(cell) for _, cell in cells]
    if not any(are_labels):
        return None
    if not all(are_labels):
        number, cell = cells[are_labels.index(False)]
        expected = f"one of {', '.join(classes[:10])}, as in other lines"
        hint = "or names of columns in the first line, of which 'label' is ignored"
        raise ValueError(f"{file}, line {number}: expected {expected}, got {cell[:50]!r}; {hint}")
    return 0
