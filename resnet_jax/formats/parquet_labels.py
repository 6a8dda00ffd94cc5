"""Labels in the columns of Parquet files. With `parquet`, the only file that imports pyarrow."""

from __future__ import annotations

import json

import numpy as np

from resnet_jax.data.sources.label_kinds import LabelKind, check_precision, transcript_tokens
from resnet_jax.errors import composed
from resnet_jax.extras import extra
from resnet_jax.formats.arrays import checked_labels, column_names
from resnet_jax.formats.captions import checked_caption
from resnet_jax.formats.parquet_options import ParquetOptions
from resnet_jax.formats.tables import CAPTION_COLUMNS, LABEL_COLUMNS, TRANSCRIPT_COLUMNS, matching

with extra():
    import pyarrow as pa
    import pyarrow.compute as pc


def usual_labels(options: ParquetOptions) -> str:
    """Usual names of a column of labels."""
    return {"transcript": TRANSCRIPT_COLUMNS, "caption": CAPTION_COLUMNS}.get(options.label_kind, LABEL_COLUMNS)


def label_column(schema: pa.Schema, options: ParquetOptions) -> str | None:
    """The (first) column of labels: named, of a usual name, or (not for images) the only one with names of classes."""
    if options.label_column:
        return options.label_column[0]
    name = matching(schema.names, usual_labels(options))
    if name is None and options.item != "image" and options.label_kind in ("class", "multi-hot"):
        named = [column for column in schema.names if _names(schema, column) is not None]
        name = named[0] if len(named) == 1 else None
    return name


def are_missing(values: pa.ChunkedArray, kind: LabelKind) -> bool:
    """Whether no row has a label: all are null, -1 (a number among targets) or empty transcripts."""
    values = values.drop_null()
    if not len(values):
        return True
    if kind in ("transcript", "caption"):
        return is_text(values.type) and not pc.max(pc.binary_length(values)).as_py()
    return kind != "targets" and pa.types.is_integer(values.type) and bool(pc.all(pc.equal(values, -1)).as_py())


def read_labels(
    file: str, schema: pa.Schema, columns: list[str], table: pa.Table, known: tuple[str, ...] | None, kind: LabelKind
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels int [n], float32 [n, K] or str [n]; and the names of classes or targets, or tokens.

    Without columns, of texts for language models, the labels are 0.

    Raises:
      ValueError: labels of another type or kind, or classes that are not known.
    """
    if not columns:
        return np.zeros(table.num_rows, np.int32), ()
    if len(columns) > 1:
        numbers = np.stack([_numbers(file, name, table[name]) for name in columns], axis=1)
        return _checked(numbers, file, kind, known), tuple(columns)
    by_kind = {"class": _class_labels, "multi-hot": _multi_hot, "targets": _targets, "transcript": _transcripts}
    by_kind["caption"] = _captions
    return by_kind[kind](file, columns[0], table[columns[0]], _names(schema, columns[0]), known)


def _names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Class names, if Hugging Face's `datasets` has written them: of a ClassLabel, or a list of them."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        return tuple(composed(str(name)) for name in feature["names"])
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError, IndexError):
        return None


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _class_labels(
    file: str, column: str, values: pa.ChunkedArray, names: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    if not (is_text(values.type) or pa.types.is_integer(values.type)):
        hint = "; label_kind='multi-hot' reads lists of classes" * _is_list(values.type)
        hint += "; label_kind='targets' predicts numbers" * pa.types.is_floating(values.type)
        raise ValueError(f"{file}: column {column!r} is {values.type}; expected whole numbers or strings{hint}")
    return _indices(file, values, names, known)


def _transcripts(
    file: str, column: str, values: pa.ChunkedArray, names: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """What is spoken, str [n], and its tokens."""
    if not is_text(values.type):
        raise ValueError(f"{file}: column {column!r} is {values.type}; expected transcripts (string)")
    texts = [composed(text.strip()) for text in values.to_pylist()]
    return np.array(texts), transcript_tokens(texts) if known is None else known


def _captions(
    file: str, column: str, values: pa.ChunkedArray, names: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Captions, str [n]; "" for none."""
    if not is_text(values.type):
        raise ValueError(f"{file}: column {column!r} is {values.type}; expected captions (string)")
    captions = []
    for row, text in enumerate(values.to_pylist()):
        try:
            captions.append(checked_caption(text) if text and text.strip() else "")
        except ValueError as error:
            raise ValueError(f"{file}, row {row}: {error}") from None
    return np.array(captions), ()


def _multi_hot(
    file: str, column: str, values: pa.ChunkedArray, names: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A list of classes per image."""
    inner = values.type.value_type if _is_list(values.type) else values.type
    if not (_is_list(values.type) and (is_text(inner) or pa.types.is_integer(inner))):
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
    if is_text(values.type):
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
