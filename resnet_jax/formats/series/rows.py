"""Tables with one series a line: .tsv and .txt of the UCR archive, .csv.

The label comes first, unless a first line of names has a label column. Series of one file have as many cells: those of
a shorter series are empty or NaN at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.errors import did_you_mean
from resnet_jax.formats.series.series_source import Example, SeriesFile
from resnet_jax.formats.series.text import is_number, numbers, text_lines
from resnet_jax.formats.tables import LABEL_COLUMNS, matching

SUFFIXES = (".tsv", ".csv", ".txt")
FORMATS = (".ts", *SUFFIXES, ".npz")  # of all files of series; where a folder has several, the first counts


class _Layout(NamedTuple):
    label: int  # position of the label
    cells: int
    has_names: bool  # whether the first line has the names of columns


def read_rows(file: Path, label_column: str | None = None) -> SeriesFile:
    """All series of a file, of one channel.

    Args:
      label_column: name in the first line; None: a usual one (label, class, target, ...), or the first column.

    Raises:
      ValueError: a line that is cut off or has something else than numbers; no such column. The message names the line.
    """
    layout: _Layout | None = None
    examples: list[Example] = []
    for number, cells in cells_of(file):
        name = f"{file}, line {number}"
        if layout is None:
            layout = _layout(file, cells, label_column)
            if layout.has_names:
                continue
        if len(cells) != layout.cells:
            hint = "a shorter series ends with empty cells or NaN"
            raise ValueError(f"{name}: expected {layout.cells} cells, as in the first line, got {len(cells)}; {hint}")
        label = cells[layout.label].strip().strip('"')
        values = numbers([*cells[: layout.label], *cells[layout.label + 1 :]], name)
        examples.append(Example(f"line {number}", label, values[:, None]))
    return SeriesFile(str(file), examples)


def cells_of(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line. Raises ValueError as `text_lines` does."""
    delimiter: str | None = None
    for position, (number, line) in enumerate(text_lines(file)):
        if not position:
            delimiter = "\t" if file.suffix.lower() == ".tsv" else next((c for c in ",;\t" if c in line), None)
        yield number, line.split(delimiter)


def _layout(file: Path, first: list[str], label_column: str | None) -> _Layout:
    names = [cell.strip().strip('"') for cell in first]
    column = matching(names, LABEL_COLUMNS) if label_column is None else label_column
    texts = [name for name in names if not is_number(name)]
    if label_column is not None and label_column not in names:
        hint = did_you_mean(label_column, texts) if texts else "its first line has only numbers"
        raise ValueError(f"{file} has no column {label_column!r}; {hint}")
    if column is None and len(texts) > 1:
        problem = f"the first line has the names {join_names(texts, 5)}, none of them known for labels"
        raise ValueError(f"{file}: {problem}; name it: label_column='NAME'")
    if column is None and names == [str(place) for place in range(len(names))]:
        problem = f"the first line counts 0, 1, ... {len(names) - 1}, as names of columns do"
        raise ValueError(f"{file}: {problem}; expected a label and values, or a column named label")
    if len(names) < 2:
        raise ValueError(f"{file}: expected a label and values in each line, got one cell: {first[0][:50]!r}")
    return _Layout(0 if column is None else names.index(column), len(names), column is not None)
