"""Parquet files of encoded images, as the Hugging Face hub has them. The only file that imports pyarrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.formats.arrays import checked_labels, column_names
from resnet_jax.data.sources.formats.options import ReadOptions
from resnet_jax.data.sources.formats.tables import LABEL_COLUMNS, matching
from resnet_jax.data.sources.label_kinds import LabelKind, check_precision
from resnet_jax.data.sources.limits import MEMORY, check_size
from resnet_jax.errors import composed, one_line
from resnet_jax.extras import extra

with extra():
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

PARQUET_IMAGE_COLUMNS = "image img images"
ROWS = 100  # unpacked at a time
SHORTEST = 32  # bytes of an encoded image: none has fewer


def num_rows(files: Sequence[Path]) -> int:
    """Rows of all the files, as their footers have them.

    Raises:
      ValueError: a corrupted file.
    """
    return sum(_read(file, pq.read_metadata).num_rows for file in files)


def has_labels(files: Sequence[Path], options: ReadOptions) -> bool:
    """Whether there is a column of labels that are not all -1 (a number among targets) or null, as in competitions.

    Raises:
      ValueError: a corrupted file.
    """
    schema = _read(files[0], pq.read_schema)
    label = options.label_column[0] if options.label_column else matching(schema.names, LABEL_COLUMNS)
    if label is None or label not in schema.names:
        return False
    for file in files:
        values = _read(file, partial(_table, columns=[label]))[label].drop_null()
        if len(values) and (
            options.label_kind == "targets"
            or not (pa.types.is_integer(values.type) and pc.all(pc.equal(values, -1)).as_py())
        ):
            return True
    return False


def read(files: Sequence[Path], options: ReadOptions, known: tuple[str, ...] | None = None) -> ArraySource:
    """The rows of one split, encoded images held in memory.

    Classes are whole numbers, named by the schema if it names them (a ClassLabel), or strings; several per image are a
    list of them, or a column of 0 and 1 for each class. Targets are a number, a list of numbers or several columns.

    Args:
      known: the classes of the split that is trained on; None: this is it.

    Raises:
      ValueError: a file that is corrupted or has no such columns, rows without an image or a label, or other classes
        than those that are known.
    """
    file = str(files[0]) if len(files) == 1 else f"{files[0]} to {files[-1].name}"
    schema = _read(files[0], pq.read_schema)
    image = _column(file, schema, options.image_column, PARQUET_IMAGE_COLUMNS, "image")
    labels = [_column(file, schema, name, LABEL_COLUMNS, "label") for name in options.label_column or (None,)]
    tables: list[pa.Table] = []
    for one in files:
        tables.append(_read(one, partial(_table, columns=[image, *labels])))
        if sum(table.nbytes for table in tables) > MEMORY:
            raise ValueError(f"{file} hold more than {MEMORY / 2**30:.0f} GiB, the most that is held in memory")
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise ValueError(f"{file} and the files beside it differ: {one_line(error)}") from None
    if not table.num_rows:
        raise ValueError(f"{file} has no rows")
    column = table[image]
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise ValueError(f"{file}: column {image!r} is {column.type}; expected encoded images (binary)")
    for name, values in ((image, column), *((label, table[label]) for label in labels)):
        if values.null_count:
            row = pc.index(pc.is_null(values), True).as_py()
            raise ValueError(f"{file}: row {row} has nothing in column {name!r}")
    encoded = column.to_pylist()
    return ArraySource(encoded, *_read_labels(file, schema, labels, table, known, options.label_kind), file)


def _read_labels(
    file: str, schema: pa.Schema, columns: list[str], table: pa.Table, known: tuple[str, ...] | None, kind: LabelKind
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels int [n] or float32 [n, K], and the names of classes or targets."""
    if len(columns) > 1:
        numbers = np.stack([_numbers(file, name, table[name]) for name in columns], axis=1)
        return _checked(numbers, file, kind, known), tuple(columns)
    read_labels = {"class": _class_labels, "multi-hot": _multi_hot, "targets": _targets}[kind]
    return read_labels(file, columns[0], table[columns[0]], _names(schema, columns[0]), known)


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
    if not file.is_file():  # a pipe would block for ever
        raise ValueError(f"{file} cannot be read: not a file")
    try:
        return reader(file)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ValueError(f"{file} cannot be read: {one_line(error)}") from None


def _column(file: str, schema: pa.Schema, column: str | None, usual: str, kind: str) -> str:
    name = matching(schema.names, usual) if column is None else column
    if name in schema.names:
        return str(name)
    expected = ", ".join(usual.split()) if column is None else column
    problem = f"{file} has the columns {', '.join(schema.names)}; expected one of {expected}"
    raise ValueError(f"{problem}; name another: {kind}_column='NAME'")


def _names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Class names, if Hugging Face's `datasets` has written them: of a ClassLabel, or a list of them."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        return tuple(composed(str(name)) for name in feature["names"])
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError, IndexError):
        return None


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _class_labels(
    file: str, column: str, values: pa.ChunkedArray, names: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    if not (_is_text(values.type) or pa.types.is_integer(values.type)):
        hint = "; label_kind='multi-hot' reads lists of classes" * _is_list(values.type)
        hint += "; label_kind='targets' predicts numbers" * pa.types.is_floating(values.type)
        raise ValueError(f"{file}: column {column!r} is {values.type}; expected whole numbers or strings{hint}")
    return _indices(file, values, names, known)


def _multi_hot(
    file: str, column: str, values: pa.ChunkedArray, names: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A list of classes per image."""
    inner = values.type.value_type if _is_list(values.type) else values.type
    if not (_is_list(values.type) and (_is_text(inner) or pa.types.is_integer(inner))):
        raise ValueError(f"{file}: column {column!r} is {values.type}; expected lists of classes")
    values = values.combine_chunks()
    flat, rows = pc.list_flatten(values), pc.list_parent_indices(values).to_numpy()
    if flat.null_count or not len(flat):
        raise ValueError(f"{file}: column {column!r} has {'nothing in a list' if len(flat) else 'no classes'}")
    indices, classes = _indices(file, flat, names or known, known)
    if indices.max() >= len(classes):
        raise ValueError(f"{file}: column {column!r} has label {indices.max()}; expected 0 to {len(classes) - 1}")
    labels = np.zeros((len(values), len(classes)), np.float32)
    labels[rows, indices] = 1
    return labels, classes


def _targets(
    file: str, column: str, values: pa.ChunkedArray, names: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A number per image, or a list of equally many."""
    if not _is_list(values.type):
        numbers = _numbers(file, column, values)
        return _checked(numbers, file, "targets", known), (column,)
    lengths = np.unique(np.asarray(pc.list_value_length(values)))
    if len(lengths) > 1:
        raise ValueError(f"{file}: column {column!r}: expected lists of one length, got {lengths.tolist()[:5]}")
    numbers = _numbers(file, column, pc.list_flatten(values)).reshape(len(values), -1)
    return _checked(numbers, file, "targets", known), known or column_names(numbers.shape[1], "targets")


def _checked(numbers: np.ndarray, file: str, kind: LabelKind, known: tuple[str, ...] | None) -> np.ndarray:
    labels = checked_labels(numbers, len(numbers), file, kind)
    if kind == "targets" and known is None:
        check_precision(numbers, file)
    return labels


def _numbers(file: str, column: str, values: pa.ChunkedArray) -> np.ndarray:
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ValueError(f"{file}: column {column!r} is {kind}; expected numbers")
    if values.null_count:
        raise ValueError(f"{file}: column {column!r} has nothing in a list")
    numbers: np.ndarray = np.asarray(values)
    return numbers


def _indices(
    file: str, values: pa.ChunkedArray, names: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Classes as int [n], and their names."""
    if _is_text(values.type):
        texts = [composed(name) for name in values.to_pylist()]
        present = sorted(set(texts))
        names = tuple(present) if known is None else known
        if unknown := [name for name in present if name not in names]:
            raise ValueError(f"{file} has classes that are not trained on: {', '.join(unknown)}")
        place = {name: i for i, name in enumerate(names)}
        return np.array([place[name] for name in texts]), names
    if names and known and names != known:
        raise ValueError(f"{file} has other classes than those trained on, or in another order")
    labels = np.asarray(values).astype(np.int64)
    if labels.min() < 0 or (names is None and labels.max() >= 2**16):
        raise ValueError(f"{file}: labels run from {labels.min()} to {labels.max()}; expected 0 for the first class")
    return labels, tuple(str(i) for i in range(int(labels.max()) + 1)) if names is None else names
