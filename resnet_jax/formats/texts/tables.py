"""Tables of texts: CSV, TSV or a JSON object per line, with one or more columns of texts and of labels."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import did_you_mean
from resnet_jax.formats.item_columns import BETWEEN, ITEM_COLUMNS
from resnet_jax.formats.row_labels import LabelEncoder, classes_of, lack_labels
from resnet_jax.formats.splits import split_of
from resnet_jax.formats.tables import (
    LABEL_COLUMNS,
    SPLIT_COLUMNS,
    Columns,
    Row,
    cell_text,
    delimiter_of,
    matching,
    object_records,
    row_label,
    table_records,
)
from resnet_jax.formats.texts.reading import Text, read_text, text_source

TEXT_COLUMNS = ITEM_COLUMNS["text"]
LONGEST = 2**31 - 1  # characters of a text: the csv module has a limit of 131,072
Records = list[tuple[int, dict[str, Any]]]


class TextColumns(NamedTuple):
    """Names of the columns to read; numbers from 1 in a table whose first line is a row."""

    text: tuple[str, ...]
    label: tuple[str, ...]
    split: str | None
    label_kind: LabelKind

    def __str__(self) -> str:
        labels = f", labels from {', '.join(map(repr, self.label))}" if self.label else ""
        splits = f", splits from {self.split!r}" if self.split else ""
        return f"texts from {', '.join(map(repr, self.text))}{labels}{splits}"


class TextRow(NamedTuple):
    """One text, and its row as label encoders take it."""

    text: Text
    row: Row


def open_tables(
    path: Path,
    files: Mapping[str, Path],
    *,
    label_kind: LabelKind = "class",
    label_column: tuple[str, ...] | None = None,
    text_column: tuple[str, ...] | None = None,
    skip_unreadable: bool = False,
) -> StoredDataset:
    """The texts in a table for each split, or in one with a column of splits.

    Columns are named, or have a usual name; numbers ("1", "2") name those of a table without a line of names. Texts of
    several columns have a line each.

    Raises:
      ValueError: no such columns, a corrupted line, a text or label that is missing. The message names the line.
    """
    opened = {split: _Table.of(file, label_column, text_column, label_kind) for split, file in files.items()}
    train = opened["train"]
    rows = {split: table.rows() for split, table in opened.items()}
    if len(files) == 1 and train.columns.split is not None:
        rows = _by_split(train, rows["train"])
    file_of = {split: files.get(split, files["train"]) for split in rows}
    names, unlabelled = Columns("text", train.columns.label, None, "text"), {}
    classes: tuple[str, ...] = ()
    if label_kind != "next-token":
        classes = classes_of(files["train"], names, [one.row for one in rows["train"]], label_kind)
        lacking = [s for s in rows if s != "train" and lack_labels((one.row for one in rows[s]), label_kind)]
        unlabelled = {split: f"{file_of[split]} has no labels of {split!r}" for split in lacking}
    if label_kind == "class" and len(classes) < 2:
        got = f"one, {classes[0]!r}" if classes else "none"
        raise ValueError(f"{files['train']}: expected two or more classes in {names.label[0]!r}, got {got}")
    parts: dict[str, ArraySource] = {}
    notes = [f"{train.file.name}: {train.columns}"]
    for split in sorted(rows.keys() - unlabelled.keys(), key=lambda split: split != "train"):
        encode = None if label_kind == "next-token" else LabelEncoder(file_of[split], names, split, classes, label_kind)
        parts[split], skipped = _source(file_of[split], rows[split], encode, skip_unreadable=skip_unreadable)
        if skipped:
            notes.append(f"{skipped:,} empty text{'s' * (skipped > 1)} of {split!r} skipped")
    return StoredDataset(str(path), parts, tuple(notes), unlabelled, fixed=label_kind == "next-token")


class _Table(NamedTuple):
    """A file as records, and the columns that are read."""

    file: Path
    records: Records
    columns: TextColumns

    @classmethod
    def of(
        cls, file: Path, labels: tuple[str, ...] | None, texts: tuple[str, ...] | None, label_kind: LabelKind
    ) -> _Table:
        columns, records = _read(file, (*(labels or ()), *(texts or ())))
        if not records:
            raise ValueError(f"{file} has no rows")
        return cls(file, records, _choose(file, columns, labels, texts, label_kind))

    def rows(self) -> list[TextRow]:
        """Raises ValueError for a value that is neither text nor a number."""
        file, columns = self.file, self.columns
        rows = []
        for line, record in self.records:
            cells = [cell_text(file, line, record.get(name)) for name in columns.text]
            labels = [record.get(name) for name in columns.label]
            label = row_label(file, line, labels, columns.label_kind) if labels else ""
            split = cell_text(file, line, record.get(columns.split)) if columns.split else ""
            text = Text(f"line {line}", BETWEEN.join(cell for cell in cells if cell))
            rows.append(TextRow(text, Row(line, "the text", label, split)))
        return rows


def _read(file: Path, named: Sequence[str]) -> tuple[list[str], Records]:
    """Names of the columns, and the records; numbers are the names if `named` has numbers alone."""
    contents = io.StringIO(read_text(file), newline="")
    if file.suffix.lower() == ".jsonl":
        records = list(object_records(file, contents))
        return list(dict.fromkeys(name for _, record in records for name in record)), records
    rows: list[tuple[int, list[str]]] = []
    limit = csv.field_size_limit(LONGEST)
    try:
        rows.extend(row for row in _rows(file, contents) if any(row[1]))
    except csv.Error as error:
        place = f"behind line {rows[-1][0]}" if rows else "line 1"
        raise ValueError(f"{file}, {place}: cannot be read: {error}; a quote inside quotes is written twice") from None
    finally:
        csv.field_size_limit(limit)
    if not rows:
        raise ValueError(f"{file} is empty; expected a first line with the names of columns")
    first = [cell.strip() for cell in rows[0][1]]
    numbers = [str(place) for place in range(1, len(first) + 1)]
    parts = [part for name in named for part in split_columns(name, numbers)]
    if parts and set(parts) <= {*numbers} and not set(parts) <= {*first}:
        if known := matching(first, f"{LABEL_COLUMNS} {TEXT_COLUMNS}"):
            problem = f"columns {', '.join(parts)}: expected names, as the first line has them, such as {known!r}"
            raise ValueError(f"{file}, line {rows[0][0]}: {problem}")
        return numbers, list(table_records(file, rows, numbers))
    records = list(table_records(file, rows))
    return list(records[0][1]), records[1:]


def _rows(file: Path, contents: io.StringIO) -> Iterator[tuple[int, list[str]]]:
    if file.suffix.lower() == ".tsv":
        # Tabs cannot be in a text, so a quote inside one means nothing: only a cell in quotes loses them.
        for number, line in enumerate(contents, 1):
            yield number, [_unquoted(cell) for cell in line.rstrip("\r\n").split("\t")]
        return
    delimiter = delimiter_of(contents.readline(2**16))
    contents.seek(0)
    reader = csv.reader(contents, delimiter=delimiter, strict=True)
    yield from ((reader.line_num, values) for values in reader)


def _unquoted(cell: str) -> str:
    inner = cell.strip()[1:-1]
    is_quoted = len(cell.strip()) > 1 and cell.strip()[0] == cell.strip()[-1] == '"'
    return inner.replace('""', '"') if is_quoted and '"' not in inner.replace('""', "") else cell


def split_columns(name: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that a name means: itself, or several with commas between them, if all of these are there."""
    parts = tuple(part.strip() for part in name.split(","))
    return parts if name not in columns and set(parts) <= {*columns} else (name,)


def _choose(
    file: Path,
    columns: list[str],
    labels: tuple[str, ...] | None,
    texts: tuple[str, ...] | None,
    label_kind: LabelKind,
) -> TextColumns:
    """The columns of texts, labels and (if there is one) of splits."""
    chosen = tuple(part for name in texts or () for part in split_columns(name, columns))
    for name in (*chosen, *(labels or ())):
        if name not in columns:
            raise ValueError(f"{file} has no column {name!r}; {did_you_mean(name, columns)}")
    if not chosen:
        chosen = (_usual(file, columns, labels or (), "text", TEXT_COLUMNS),)
    others = [name for name in columns if name not in chosen]
    if label_kind == "next-token":
        labels = ()
    elif not labels:
        labels = (_usual(file, columns, chosen, "label", LABEL_COLUMNS),)
    if twice := next((name for name in labels if name in chosen), None):
        raise ValueError(f"{file}: column {twice!r} cannot have both texts and labels")
    split = matching([name for name in others if name not in labels], SPLIT_COLUMNS)
    return TextColumns(chosen, labels, split, label_kind)


def _usual(file: Path, columns: list[str], taken: tuple[str, ...], kind: str, usual: str) -> str:
    if (name := matching([other for other in columns if other not in taken], usual)) is not None:
        return name
    problem = (
        f"{file} has the columns {join_names([name[:50] for name in columns], 10)}, none of them known for {kind}s"
    )
    hint = "" if file.suffix.lower() == ".jsonl" else "; columns have numbers where the first line is a text, as '1'"
    raise ValueError(f"{problem}; name it: {kind}_column='NAME'{hint}")


def _by_split(table: _Table, rows: list[TextRow]) -> dict[str, list[TextRow]]:
    """The rows of each split of a table with a column of splits."""
    parts: dict[str, list[TextRow]] = defaultdict(list)
    for one in rows:
        if not one.row.split:
            raise ValueError(f"{table.file}, line {one.row.line}: nothing in column {table.columns.split!r}")
        parts[split_of(one.row.split) or one.row.split].append(one)
    if "train" not in parts:
        names = join_names(sorted(parts))
        raise ValueError(f"{table.file}: column {table.columns.split!r} has {names}; expected train, and test or val")
    return parts


def _source(
    file: Path, rows: list[TextRow], encode: LabelEncoder | None, *, skip_unreadable: bool
) -> tuple[ArraySource, int]:
    texts = [one.text for one in rows]
    if encode is None:
        return text_source(str(file), texts, np.zeros(len(rows), np.int32), (), skip_empty=skip_unreadable)
    labels = encode([one.row for one in rows])
    return text_source(str(file), texts, labels, encode.classes, skip_empty=skip_unreadable)
