"""Folders of texts: a sub-folder of .txt files per class, or such folders in each split's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import composed
from resnet_jax.formats.listing import subfolders
from resnet_jax.formats.row_labels import class_order
from resnet_jax.formats.splits import by_split, split_of
from resnet_jax.formats.texts.reading import Text, read_text, text_source


def split_folders(path: Path, classes: Sequence[str] | None) -> dict[str, Path]:
    """The folder of each split; that of "train" is `path` itself where its sub-folders are classes.

    Raises:
      ValueError: folders of splits without one to train on.
    """
    names = [name for name in subfolders(path) if split_of(name) is not None]
    if not names or (classes is not None and set(names) & set(classes)):
        return {"train": path}
    folders = {split: path / name for split, name in by_split(names).items()}
    if "train" not in folders:
        raise ValueError(f"{path} has the splits {', '.join(folders)}, but none to train on; expected a folder train")
    return folders


def open_class_folders(
    path: Path, *, classes: Sequence[str] | None = None, skip_unreadable: bool = False
) -> StoredDataset:
    """The .txt files below each class's folder, whose labels are the names of these folders.

    Raises:
      ValueError: fewer than two classes, a class of another split that training lacks, an empty or broken file.
    """
    files = {split: _files_by_class(folder) for split, folder in split_folders(path, classes).items()}
    names = class_order(set(files["train"]))
    if len(names) < 2:
        got = f"one, {names[0]!r}" if names else "none"
        expected = "expected a folder of .txt files for each of two or more classes"
        raise ValueError(f"{path}: {expected}, got {got}")
    parts: dict[str, ArraySource] = {}
    notes: list[str] = []
    for split, by_class in files.items():
        if strange := sorted(by_class.keys() - set(names)):
            raise ValueError(f"{path}, {split}: classes that training lacks: {join_names(strange)}")
        parts[split], skipped = _source(path, by_class, names, skip_unreadable=skip_unreadable)
        if skipped:
            notes.append(f"{skipped:,} file{'s' * (skipped > 1)} of {split!r} {'are' if skipped > 1 else 'is'} skipped")
    return StoredDataset(str(path), parts, tuple(notes))


def text_files(folder: Path) -> list[Path]:
    """The .txt files below a folder, in the order of their names; hidden ones are skipped."""
    files = (file for file in folder.rglob("*") if file.suffix.lower() == ".txt" and file.is_file())
    return sorted(file for file in files if not any(p.startswith(".") for p in file.relative_to(folder).parts))


def _files_by_class(folder: Path) -> dict[str, list[Path]]:
    by_class = {composed(name): text_files(folder / name) for name in subfolders(folder)}
    return {name: files for name, files in by_class.items() if files}


def _source(
    root: Path, by_class: dict[str, list[Path]], classes: tuple[str, ...], *, skip_unreadable: bool
) -> tuple[ArraySource, int]:
    texts, labels, broken = [], [], 0
    for name in sorted(by_class):
        for file in by_class[name]:
            try:
                text = read_text(file)
            except ValueError:
                if not skip_unreadable:
                    raise
                broken += 1
                continue
            texts.append(Text(str(file.relative_to(root)), text))
            labels.append(classes.index(name))
    source, empty = text_source(str(root), texts, np.array(labels, np.int32), classes, skip_empty=skip_unreadable)
    return source, empty + broken
