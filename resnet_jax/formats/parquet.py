"""Parquet files of images, sounds and texts, as the Hugging Face hub has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.class_names import split_names
from resnet_jax.data.sources.limits import MEMORY, check_size
from resnet_jax.errors import one_line
from resnet_jax.extras import extra
from resnet_jax.formats.item_columns import ITEM_COLUMNS, NOUNS, Item, joined_texts
from resnet_jax.formats.parquet_labels import (
    are_missing,
    is_text,
    label_column,
    read_labels,
    usual_labels,
)
from resnet_jax.formats.parquet_options import ParquetOptions
from resnet_jax.formats.tables import matching

with extra():
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

PARQUET_IMAGE_COLUMNS = ITEM_COLUMNS["image"]
ROWS = 100  # unpacked at a time
SHORTEST = {"image": 32, "audio": 32, "text": 0}  # bytes of an encoded image or sound: none has fewer


def num_rows(files: Sequence[Path]) -> int:
    """Rows of all the files, as their footers have them.

    Raises:
      ValueError: a corrupted file.
    """
    return sum(_read(file, pq.read_metadata).num_rows for file in files)


def has_labels(files: Sequence[Path], options: ParquetOptions) -> bool:
    """Whether there is a column of labels that are not all missing, as in competitions; see `are_missing`.

    Language models need none.

    Raises:
      ValueError: a corrupted file.
    """
    if options.label_kind == "next-token":
        return True
    schema = _read(files[0], pq.read_schema)
    label = label_column(schema, options)
    if label is None or label not in schema.names:
        return False
    read = partial(_table, columns=[label], shortest=0)
    return any(not are_missing(_read(file, read)[label], options.label_kind) for file in files)


def read(files: Sequence[Path], options: ParquetOptions, known: tuple[str, ...] | None = None) -> ArraySource:
    """The rows of one split, in memory: encoded images or sounds, or texts in UTF-8.

    Classes are whole numbers, named by the schema if it names them (a ClassLabel), or strings; several per image are a
    list of them, or a column of 0 and 1 for each class. Targets are a number, a list of numbers or several columns.
    A transcript is a string, as is a caption ("": none). Texts of several columns have a line each.

    Args:
      known: the classes of the split that is trained on; None: this is it.

    Raises:
      ValueError: a file that is corrupted or has no such columns, rows without an example or a label, or other classes
        than those that are known.
    """
    file = str(files[0]) if len(files) == 1 else f"{files[0]} to {files[-1].name}"
    schema = _read(files[0], pq.read_schema)
    labels = _label_columns(file, schema, options)
    items = _item_columns(file, schema, options, labels)
    tables: list[pa.Table] = []
    columns = list(dict.fromkeys([*items, *labels]))
    for one in files:
        tables.append(_read(one, partial(_table, columns=columns, shortest=SHORTEST[options.item])))
        if sum(table.nbytes for table in tables) > MEMORY:
            raise ValueError(f"{file} hold more than {MEMORY / 2**30:.0f} GiB, the most that is held in memory")
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise ValueError(f"{file} and the files beside it differ: {one_line(error)}") from None
    if not table.num_rows:
        raise ValueError(f"{file} has no rows")
    columns_of_items = [_item_values(file, name, table[name], options.item) for name in items]
    complete = [] if options.label_kind == "caption" else labels  # a caption that is missing is found when it is served
    for name, values in (*zip(items, columns_of_items, strict=True), *((label, table[label]) for label in complete)):
        if values.null_count:
            row = pc.index(pc.is_null(values), True).as_py()
            raise ValueError(f"{file}: row {row} has nothing in column {name!r}{_elsewhere(table[name], row)}")
    encoded = _joined(columns_of_items)
    places = None if options.item == "image" else _places(table[items[0]])
    return ArraySource(encoded, *read_labels(file, schema, labels, table, known, options.label_kind), file, places)


def _label_columns(file: str, schema: pa.Schema, options: ParquetOptions) -> list[str]:
    if options.label_kind == "next-token":
        return []
    if options.label_column:
        return [_column(file, schema, name, "", "label") for name in options.label_column]
    return [_column(file, schema, label_column(schema, options), usual_labels(options), "label")]


def _item_columns(file: str, schema: pa.Schema, options: ParquetOptions, labels: Sequence[str]) -> list[str]:
    """The columns of the examples: named, of a usual name, or (not for images) the only one of a fitting type."""
    item, usual = options.item, ITEM_COLUMNS[options.item]
    if options.item_column:
        names = split_names(options.item_column, schema.names) if item == "text" else options.item_column
        return [_column(file, schema, name, "", item) for name in names]
    name = matching([name for name in schema.names if name not in labels], usual)
    if name is None and item != "image":
        fits = is_text if item == "text" else _holds_bytes
        fitting = [field.name for field in schema if field.name not in labels and fits(field.type)]
        name = fitting[0] if len(fitting) == 1 else None
    return [_column(file, schema, name, usual, item)]


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column holds encoded images or sounds: bytes, or a struct of bytes and a path."""
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field(kind.get_field_index("bytes")).type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _item_values(file: str, name: str, column: pa.ChunkedArray, item: Item) -> pa.ChunkedArray:
    """A column as bytes. Raises ValueError for a column of another type."""
    if item == "text":
        if not is_text(column.type):
            raise ValueError(f"{file}: column {name!r} is {column.type}; expected texts (string)")
        return column.cast(pa.large_binary())
    if not _holds_bytes(column.type):
        raise ValueError(f"{file}: column {name!r} is {column.type}; expected encoded {NOUNS[item]}s (binary)")
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def _joined(columns: Sequence[pa.ChunkedArray]) -> list[bytes]:
    """The examples as bytes; texts of several columns with a line end between them."""
    if len(columns) == 1:
        encoded: list[bytes] = columns[0].to_pylist()
        return encoded
    return [joined_texts(row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


def _paths(column: pa.ChunkedArray) -> list[str | None] | None:
    """The path beside the bytes of each row; None: the column has none."""
    if pa.types.is_struct(column.type) and column.type.get_field_index("path") >= 0:
        paths: list[str | None] = pc.struct_field(column, "path").to_pylist()
        return paths
    return None


def _places(column: pa.ChunkedArray) -> np.ndarray:
    """Names of the rows in messages, str [n]: "row 3 (a.wav)"."""
    paths = _paths(column) or [None] * len(column)
    return np.array([f"row {row}" + (f" ({path})" if path else "") for row, path in enumerate(paths)])


def _elsewhere(column: pa.ChunkedArray, row: int) -> str:
    """A hint for an example whose bytes are not in the file."""
    path = (_paths(column) or {row: None})[row]
    return (
        f" but the path {path!r}; expected its bytes too, as to_parquet of Hugging Face's datasets embeds them"
        * bool(path)
    )


def _table(file: Path, columns: list[str], shortest: int) -> pa.Table:
    """Some rows at a time: a row may be repeated millions of times in a few bytes."""
    with pq.ParquetFile(file) as source:
        schema = source.schema_arrow
        for name in columns:
            if (count := schema.names.count(name)) != 1:
                raise pa.ArrowInvalid(f"{count or 'no'} columns {name!r} among {', '.join(schema.names)}")
        check_size(file, shortest * source.metadata.num_rows)
        batches, held = [], 0
        for batch in source.iter_batches(ROWS, columns=columns):
            batches.append(batch.select(columns))
            held += batch.nbytes
            check_size(file, held)
    return pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in columns]))


def _read(file: Path, reader: Callable[[Path], Any]) -> Any:
    if not file.is_file():  # a pipe would block for ever
        raise ValueError(f"{file} cannot be read: not a file")
    try:
        return reader(file)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ValueError(f"{file} cannot be read: {one_line(error)}") from None


def _column(file: str, schema: pa.Schema, column: str | None, usual: str, kind: str) -> str:
    """The column, if it is there. Raises ValueError otherwise; the message lists those that are."""
    if column in schema.names:
        return str(column)
    expected = ", ".join(usual.split()) if column is None else column
    problem = f"{file} has the columns {', '.join(schema.names)}; expected one of {expected}"
    raise ValueError(f"{problem}; name another: {kind}_column='NAME'")
