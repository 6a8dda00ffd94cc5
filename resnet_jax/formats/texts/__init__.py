"""Texts in files: folders of classes, tables with a column of texts, Parquet, plain text for language models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import one_of
from resnet_jax.files import expanded
from resnet_jax.formats.listing import subfolders
from resnet_jax.formats.options import label_columns
from resnet_jax.formats.parquet_sequences import open_parquet_sequences, parquet_files
from resnet_jax.formats.splits import by_split
from resnet_jax.formats.tables import SUFFIXES
from resnet_jax.formats.texts.folders import open_class_folders, text_files
from resnet_jax.formats.texts.plain import open_lines
from resnet_jax.formats.texts.tables import open_tables

__all__ = ["open_texts"]

EXPECTED = f"a folder of .txt files per class, or a file {one_of((*SUFFIXES, '.parquet'))}, or one for each split"
KINDS: tuple[LabelKind, ...] = ("class", "multi-hot", "targets", "next-token")
PLAIN = (".txt", ".tokens", ".text")  # of language models


def open_texts(
    path: str | Path,
    *,
    label_kind: LabelKind = "class",
    label_column: str | Sequence[str] | None = None,
    text_column: str | Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    skip_unreadable: bool = False,
) -> StoredDataset:
    """Reads the texts at a path into memory: items are UTF-8, their names "FILE, line 12".

    - a folder with a sub-folder of .txt files per class, or such folders in train and test
    - a .csv, .tsv or .jsonl with a column of texts and one of labels, or a folder with one for each split
    - Parquet files; see `parquet_sequences.open_parquet_sequences`
    - for language models ("next-token"): a plain text, or a folder with train.txt, valid.txt and test.txt, or whose
      .txt files are one text in the order of their names; or a table's column of texts. Items are its lines, and parts
      as "train[:90%]" are cut by position.

    Args:
      label_kind: "class", "multi-hot", "targets", or "next-token".
      label_column, text_column: of a table, by name; by number ("1") where the first line is a row. Several text
        columns (also as "2,3") have a line each. None: the first of the usual names.
      classes: those that will be chosen; where they are the names of sub-folders, these are classes, not splits.
      skip_unreadable: go without empty texts, and without broken files of a folder.

    Raises:
      FileNotFoundError: nothing there.
      ValueError: no texts, or a file that is broken. The message names the file and the line.
    """
    path = expanded(path)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}; expected {EXPECTED}")
    if label_kind not in KINDS:
        raise ValueError(f"{path}: texts have labels of kind {one_of(map(repr, KINDS))}, got {label_kind!r}")
    labels = label_columns(label_column, label_kind)
    if label_kind == "next-token" and labels:
        raise ValueError(f"label_column={labels[0]!r}: language models predict the text itself; expected no column")
    texts = (text_column,) if isinstance(text_column, str) else tuple(text_column or ()) or None
    if parquet_files(path):
        return open_parquet_sequences(
            path,
            "text",
            label_kind=label_kind,
            label_column=labels,
            item_column=texts,
            skip_unreadable=skip_unreadable,
        )
    if tables := _split_files(path, SUFFIXES):
        return open_tables(
            path,
            tables,
            label_kind=label_kind,
            label_column=labels,
            text_column=texts,
            skip_unreadable=skip_unreadable,
        )
    for option, value in {"label_column": label_column, "text_column": text_column}.items():
        if value is not None:
            raise ValueError(f"{option}={value!r} is for {one_of((*SUFFIXES, '.parquet'))}, got {path}")
    if label_kind == "next-token":
        parts = {split: open_lines(str(path), files) for split, files in _plain_files(path).items()}
        return StoredDataset(str(path), parts, fixed=True)
    if label_kind != "class" or not path.is_dir():
        expected = EXPECTED if label_kind == "class" else f"a file {one_of(SUFFIXES)} with columns of labels"
        raise ValueError(f"{path} has no labels of kind {label_kind!r}; expected {expected}")
    return open_class_folders(path, classes=classes, skip_unreadable=skip_unreadable)


def _split_files(path: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """The file of each split: a single file is all training. {}: there is no such file.

    Raises:
      ValueError: files of splits in several formats, or none to train on.
    """
    if not path.is_dir():
        return {"train": path} if path.suffix.lower() in suffixes else {}
    files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in suffixes and entry.is_file())
    by_stem = {file.stem: file for file in files}
    splits = {split: by_stem[stem] for split, stem in by_split(list(by_stem)).items()}
    if "train" in splits:
        if len(by_stem) < len(files):
            raise ValueError(f"{path} has several files of one name: {', '.join(file.name for file in files[:5])}")
        return splits
    if not files or subfolders(path):  # tables beside folders of classes
        return {}
    if len(files) == 1:
        return {"train": files[0]}
    names = ", ".join(file.name for file in files[:5])
    raise ValueError(f"{path} has {names}, but none to train on; expected train{files[0].suffix}, or one file")


def _plain_files(path: Path) -> dict[str, list[Path]]:
    """Files of plain text of each split, in their order."""
    if not path.is_dir():
        return {"train": [path]}
    files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in PLAIN and entry.is_file())
    by_stem = {file.stem: file for file in files}
    splits = {split: [by_stem[stem]] for split, stem in by_split(list(by_stem)).items()}
    if "train" in splits:
        return splits
    if files := text_files(path):
        return {"train": files}
    raise ValueError(f"{path} has no text; expected train.txt, or .txt files")
