"""Files of labels as rows: CSV, TSV, or a JSON object per line, with a column of files and one or more of labels."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.errors import composed, did_you_mean
from resnet_jax.formats.item_columns import ITEM_COLUMNS
from resnet_jax.formats.options import ReadOptions

SUFFIXES = (".csv", ".tsv", ".jsonl")
# Names of columns, without capitals, spaces and signs; the first that is there counts.
LABEL_COLUMNS = (
    "label labels finelabel class classname classlabel category categoryname target labelname classid labelid "
    "categoryid y"
)
TRANSCRIPT_COLUMNS = "transcript transcription transcriptions text sentence normalizedtext label labels"
CAPTION_COLUMNS = "caption captions text title description sentence alttext label"
SPLIT_COLUMNS = "split set subset partition"
MOST_BYTES = 2**28  # of a file: some millions of rows


class Columns(NamedTuple):
    """Names of the columns to read."""

    file: str
    label: tuple[str, ...]
    split: str | None
    noun: str = "image"  # what the files are
    contents: str = "labels"  # what is beside them

    def __str__(self) -> str:
        return f"{self.noun}s from column {self.file!r}, {self.contents} from {', '.join(map(repr, self.label))}" + (
            f", splits from {self.split!r}" if self.split else ""
        )


class Row(NamedTuple):
    """One image or sound.

    The label is the class, the transcript or the caption, as text ("": none); for several classes the names in the
    label column, or else the values of the label columns.
    """

    line: int
    file: str
    label: str | tuple[str, ...]
    split: str


class _ColumnKind(NamedTuple):
    """What a column has, the argument that names it, and its usual names."""

    contents: str
    argument: str
    usual: str


LABELS = _ColumnKind("labels", "label_column", LABEL_COLUMNS)
TRANSCRIPTS = _ColumnKind("transcripts", "label_column", TRANSCRIPT_COLUMNS)
CAPTIONS = _ColumnKind("captions", "label_column", CAPTION_COLUMNS)
OF_KINDS = {"transcript": TRANSCRIPTS, "caption": CAPTIONS}


def choose_columns(file: Path, options: ReadOptions) -> Columns:
    """The columns of files, of labels and (if there is one) of splits.

    Raises:
      ValueError: no such column; the message lists those that are there.
    """
    columns, files = read_columns(file), options.files
    labels = OF_KINDS.get(options.label_kind, LABELS)
    items = _ColumnKind(f"{files.noun}s", files.column, files.usual_columns)
    item = _choose_column(file, columns, items, options.file_column, header=f"{files.noun},label")
    chosen = tuple(
        _choose_column(file, columns, labels, name, taken=item, header=f"{files.noun},label")
        for name in options.label_column or (None,)
    )
    split = matching([name for name in columns if name not in (item, *chosen)], SPLIT_COLUMNS)
    return Columns(item, chosen, split, files.noun, labels.contents)


def _choose_column(
    file: Path, columns: Sequence[str], kind: _ColumnKind, name: str | None, *, taken: str = "", header: str
) -> str:
    if name is not None and name not in columns:
        raise ValueError(f"{file} has no column {name!r}; {did_you_mean(name, columns)}")
    column = name or matching([other for other in columns if other != taken], kind.usual)
    if column is None:
        problem = f"{file} has the columns {join_names(columns)}, none of them known for {kind.contents}"
        is_header = not any("." in name or name.isdecimal() for name in columns)
        hint = "" if is_header else f", or add a first line of column names, as {header}"
        if kind.argument == "image_column" and matching(columns, ITEM_COLUMNS["text"]):
            hint += "; to read texts: kind='text'"
        raise ValueError(f"{problem}; name it: {kind.argument}='NAME'{hint}")
    return column


def plain_name(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def matching(columns: Sequence[str], names: str) -> str | None:
    """The first of `names` that is a column, as it is spelt there; None: there is none."""
    plain = {plain_name(name): name for name in reversed(columns)}
    return next((plain[name] for name in names.split() if name in plain), None)


def read_columns(file: Path) -> list[str]:
    """Names of a file's columns: those in the first line of a table, those of all JSON objects.

    Raises:
      ValueError: the file is empty, too large, not text or of another type; a column of a table is there twice.
    """
    records = _records(file)
    first = next(records, None)
    if first is None:
        raise ValueError(f"{file} is empty; expected a first line with the names of columns")
    columns = dict.fromkeys(first[1])
    if file.suffix.lower() == ".jsonl":
        with suppress(ValueError):  # `read_rows` reports a corrupted line
            for _, record in records:
                columns |= dict.fromkeys(record)
    return list(columns)


def read_rows(file: Path, columns: Columns, label_kind: LabelKind = "class") -> Iterator[Row]:
    """The rows of a file.

    Raises:
      ValueError: a line that is corrupted, or names no file.
    """
    records = _records(file)
    if file.suffix.lower() != ".jsonl":
        next(records)  # the names
    for line, record in records:
        item, split = (
            cell_text(file, line, record.get(name)) if name else "" for name in (columns.file, columns.split)
        )
        if not item:
            raise ValueError(f"{file}, line {line}: nothing in column {columns.file!r}")
        yield Row(line, item, row_label(file, line, [record.get(name) for name in columns.label], label_kind), split)


def row_label(file: Path, line: int, values: Sequence[Any], label_kind: LabelKind) -> str | tuple[str, ...]:
    """The label of a row from the values of its label columns; see `Row`.

    Raises:
      ValueError: a value that is neither text nor a number.
    """
    if label_kind in ("transcript", "caption"):
        return cell_text(file, line, values[0], f"; expected a row for each {label_kind}")
    if label_kind == "multi-hot":
        values = [int(value) if isinstance(value, bool) else value for value in values]
        if len(values) == 1:
            names = _names(file, line, values[0])
            return tuple(dict.fromkeys(_without_decimals(cell_text(file, line, name)) for name in names))
    label = tuple(_without_decimals(cell_text(file, line, value)) for value in values)
    return label[0] if label_kind == "class" else label


def _without_decimals(text: str) -> str:
    """ "1.0", as pandas writes 1, as "1"; other texts as they are."""
    return re.sub(r"(?a:^(\d+)\.0+$)", r"\1", text)


def _names(file: Path, line: int, value: Any) -> list[Any]:
    """Class names in one value: a JSON list (also as text), or text with ; or | between them."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            if re.match(r"\s*\[\s*[\"'\d]", value):  # else it is text that begins with a bracket
                raise ValueError(f"{file}, line {line}: expected a JSON list, got {value[:50]!r}") from None
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return [name for name in re.split(r"[;|]", value) if name.strip()]
    return [] if value is None else [value]


def _records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and values by column; the first record of a table has the names themselves."""
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{file} is no file of labels; expected {', '.join(SUFFIXES)}")
    if not file.is_file():  # a folder, or a pipe, which would block for ever
        raise ValueError(f"{file} cannot be read: not a file")
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file} has {file.stat().st_size:,} bytes; expected at most {MOST_BYTES:,} of labels")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield from (object_records if file.suffix.lower() == ".jsonl" else _table)(file, stream)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start:,}") from None
    except (OSError, csv.Error) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None


def _table(file: Path, stream: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    header = stream.readline(2**16)
    delimiter = "\t" if file.suffix.lower() == ".tsv" else delimiter_of(header)
    stream.seek(0)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    return table_records(file, ((reader.line_num, values) for values in reader))


def delimiter_of(line: str) -> str:
    """What is between the cells of a .csv file, judged by its first line."""
    return next((c for c in ",;\t" if c in line), ",")


def table_records(
    file: Path, rows: Iterable[tuple[int, list[str]]], names: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and values by column, of lines that are not empty.

    Args:
      names: of the columns; (): they are in the first row, which is the first record too.

    Raises:
      ValueError: a column is there twice, or a line has another number of values.
    """
    for line, values in rows:
        if not any(values):
            continue
        values = [value.strip() for value in values]
        if not names and (twice := next((name for name in values if name and values.count(name) > 1), None)):
            raise ValueError(f"{file} has several columns {twice!r}; expected one of a name")
        names = names or values
        if len(values) != len(names):
            raise ValueError(f"{file}, line {line}: {len(values)} values for {len(names)} columns")
        yield line, dict(zip(names, values, strict=True))


def object_records(file: Path, stream: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and JSON objects, of lines that are not empty. Raises ValueError for a line with another value."""
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}, line {number} is not valid JSON: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{file}, line {number}: expected a JSON object, got {str(record)[:50]!r}")
        yield number, record


def cell_text(
    file: Path, line: int, value: Any, of_lists: str = "; label_kind='multi-hot' reads lists of classes"
) -> str:
    """A value as text; "" for none. Raises ValueError for one that is neither text nor a number.

    Args:
      of_lists: what the message advises for a list.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return composed(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value)) if value == value // 1 else str(value)
    hint = of_lists if isinstance(value, list) else ""
    raise ValueError(f"{file}, line {line}: expected one text or number, got {str(value)[:50]!r}{hint}")
