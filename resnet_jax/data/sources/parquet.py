"""Parquet files of encoded images, as the Hugging Face hub has them. The only file that imports pyarrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.formats.labels import LABEL_COLUMNS, matching
from resnet_jax.data.sources.limits import MEMORY, check_size
from resnet_jax.errors import composed
from resnet_jax.extras import extra

with extra():
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

IMAGE_COLUMNS = "image img images"
ROWS = 100  # that are unpacked at a time
SHORTEST = 32  # bytes of an encoded image: none has fewer


def num_rows(files: Sequence[Path]) -> int:
    """Rows of all the files, as their footers have them.

    Raises:
      ValueError: a damaged file.
    """
    return sum(_read(file, pq.read_metadata).num_rows for file in files)


def has_labels(files: Sequence[Path], column: str | None = None) -> bool:
    """Whether there is a column of labels that are not all -1 or nothing, as competitions have them in a test split.

    Raises:
      ValueError: a damaged file.
    """
    schema = _read(files[0], pq.read_schema)
    label = matching(schema.names, LABEL_COLUMNS) if column is None else column
    if label is None or label not in schema.names:
        return False
    for file in files:
        values = _read(file, partial(_table, columns=[label]))[label].drop_null()
        if len(values) and not (pa.types.is_integer(values.type) and pc.all(pc.equal(values, -1)).as_py()):
            return True
    return False


def read(
    files: Sequence[Path],
    known: tuple[str, ...] | None = None,
    *,
    label_column: str | None = None,
    image_column: str | None = None,
) -> ArraySource:
    """The rows of one split, encoded images held in memory.

    Labels are whole numbers, named by the schema where it names them (a ClassLabel), or strings.

    Args:
      known: the classes of the split that is trained on; None: this is it.
      label_column, image_column: their names; None: the first there of the usual ones.

    Raises:
      ValueError: a file that is damaged or has no such columns, rows without an image or a label, or other classes than
        those that are known.
    """
    file = str(files[0]) if len(files) == 1 else f"{files[0]} to {files[-1].name}"
    schema = _read(files[0], pq.read_schema)
    image = _column(file, schema, image_column, IMAGE_COLUMNS, "image")
    label = _column(file, schema, label_column, LABEL_COLUMNS, "label")
    tables: list[pa.Table] = []
    for one in files:
        tables.append(_read(one, partial(_table, columns=[image, label])))
        if sum(table.nbytes for table in tables) > MEMORY:
            raise ValueError(f"{file} hold more than {MEMORY / 2**30:.0f} GiB, the most that is held in memory")
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise ValueError(f"{file} and the files beside it differ: {' '.join(str(error).split())}") from None
    if not table.num_rows:
        raise ValueError(f"{file} has no rows")
    column = table[image]
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise ValueError(f"{file}: column {image!r} is {column.type}; wanted: encoded images (binary)")
    for name, values in ((image, column), (label, table[label])):
        if values.null_count:
            row = pc.index(pc.is_null(values), True).as_py()
            raise ValueError(f"{file}: row {row} has nothing in column {name!r}")
    labels, classes = _labels(file, label, table[label], _names(schema, label), known)
    return ArraySource(column.to_pylist(), labels, classes, file)


def _table(file: Path, columns: list[str]) -> pa.Table:
    """Some rows at a time: a row may be repeated millions of times in a few bytes."""
    with pq.ParquetFile(file) as source:
        schema = source.schema_arrow
        for name in columns:
            if (count := schema.names.count(name)) != 1:
                raise pa.ArrowInvalid(f"{count or 'no'} columns {name!r} among {', '.join(schema.names)}")
        check_size(file, SHORTEST * source.metadata.num_rows)
        batches, held = [], 0
        for batch in source.iter_batches(ROWS, columns=columns):
            batches.append(batch.select(columns))
            held += batch.nbytes
            check_size(file, held)
    return pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in columns]))


def _read(file: Path, reader: Callable[[Path], Any]) -> Any:
    if not file.is_file():  # of a pipe one would wait for ever
        raise ValueError(f"{file} cannot be read: not a file")
    try:
        return reader(file)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ValueError(f"{file} cannot be read: {' '.join(str(error).split())}") from None


def _column(file: str, schema: pa.Schema, asked: str | None, names: str, kind: str) -> str:
    name = matching(schema.names, names) if asked is None else asked
    if name in schema.names:
        return str(name)
    expected = ", ".join(names.split()) if asked is None else asked
    said = f"{file} has the columns {', '.join(schema.names)}; wanted one of {expected}"
    raise ValueError(f"{said}; name another: --data.{kind}-column NAME")


def _names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Class names, where Hugging Face's `datasets` has written them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(composed(str(name)) for name in features[label]["names"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _labels(
    file: str, column: str, values: pa.ChunkedArray, names: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        texts = [composed(name) for name in values.to_pylist()]
        there = sorted(set(texts))
        names = tuple(there) if known is None else known
        if strange := [name for name in there if name not in names]:
            raise ValueError(f"{file} has classes that are not trained on: {', '.join(strange)}")
        place = {name: i for i, name in enumerate(names)}
        return np.array([place[name] for name in texts]), names
    if names and known and names != known:
        raise ValueError(f"{file} has other classes than those trained on, or in another order")
    if not pa.types.is_integer(values.type):
        raise ValueError(f"{file}: column {column!r} is {values.type}; wanted: whole numbers or strings")
    labels = values.to_numpy().astype(np.int64)
    if labels.min() < 0 or (names is None and labels.max() >= 2**16):
        raise ValueError(f"{file}: labels run from {labels.min()} to {labels.max()}; wanted: 0 for the first class")
    return labels, tuple(str(i) for i in range(int(labels.max()) + 1)) if names is None else names
