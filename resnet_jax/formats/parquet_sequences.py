"""Sounds and texts in Parquet files, as the Hugging Face hub has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.formats.item_columns import NOUNS
from resnet_jax.formats.options import label_columns
from resnet_jax.formats.parquet_options import ParquetOptions
from resnet_jax.formats.shards import open_tables, tables_below


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files at a path: that file, or those of a folder; none where there is something else."""
    if path.is_dir():
        return tables_below(path)
    return [path] if path.suffix.lower() == ".parquet" else []


def open_parquet_sequences(
    path: Path,
    item: Literal["audio", "text"],
    *,
    label_kind: LabelKind = "class",
    label_column: str | Sequence[str] | None = None,
    item_column: str | Sequence[str] | None = None,
    skip_unreadable: bool = False,
) -> StoredDataset:
    """The set of sounds or texts in the Parquet files at a path; see `parquet_files`.

    Splits are named by the files or their folders; a file alone is all training. They are read into memory when they
    are asked for.

    Args:
      item: "audio": encoded files, bytes or a struct of bytes and path. "text": strings.
      label_kind: of the labels; "transcript" is for sounds, "next-token" for texts.
      label_column: None: a usual name (label, class, ...; of transcripts text, sentence, ...), or else the only column
        whose classes are named by the schema. Language models have none, and parts as "train[:90%]" of their texts are
        cut by position.
      item_column: None: a usual name (audio, ...; text, sentence, ...), or else the only column of a fitting type. Of
        several, of texts ("title,content"), each is a line.
      skip_unreadable: go without shards that are missing.

    Raises:
      ValueError: a file that is corrupted or has no such columns, or labels of another kind; the message names it.
    """
    other = {"audio": "next-token", "text": "transcript"}[item]
    if label_kind in (other, "pixels", "boxes"):
        mine = {"audio": "transcript", "text": "next-token"}[item]
        expected = f"label_kind 'class', 'multi-hot', 'targets' or {mine!r}"
        raise ValueError(f"{path}: {NOUNS[item]}s have no labels of kind {label_kind!r}; expected {expected}")
    columns = (item_column,) if isinstance(item_column, str) else tuple(item_column or ()) or None
    if item == "audio" and columns and len(columns) > 1:
        raise ValueError(f"audio_column={columns!r}: expected one column")
    labels = label_columns(label_column, label_kind)
    if label_kind == "next-token" and labels:
        raise ValueError(f"label_column={labels[0]!r}: language models predict the text itself; expected no column")
    options = ParquetOptions(item, columns, label_kind, labels, skip_unreadable)
    dataset = open_tables(path, parquet_files(path), options)
    return replace(dataset, fixed=True) if label_kind == "next-token" else dataset  # parts are whole passages
