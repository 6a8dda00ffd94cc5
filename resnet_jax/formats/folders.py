"""Folders of images or sounds: a sub-folder per class, or such folders in each split's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from resnet_jax.data.sources.class_names import join_names, places, split_names
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.label_kinds import compact
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.data.sources.subsets import relabel
from resnet_jax.formats import class_folders, label_files
from resnet_jax.formats.class_folders import Class
from resnet_jax.formats.file_kinds import IMAGE_FILES, FileKind
from resnet_jax.formats.labels import has_labels, open_labels
from resnet_jax.formats.listing import has_files, list_files, subfolders
from resnet_jax.formats.options import ReadOptions
from resnet_jax.formats.splits import by_split, split_in, split_of


def open_folders(path: Path, classes: Sequence[str] | None, options: ReadOptions) -> StoredDataset:
    """A folder with a sub-folder of files per class, or such folders for train and for val or test.

    Folders of splits may have other names (`splits.split_of`). Only "train" must be right; what is wrong with another
    split is reported when it is asked for. A file metadata.csv (.tsv, .jsonl) beside files without class folders has
    their labels.

    Args:
      classes: names that were asked for; if they are those of sub-folders, these are classes whatever they look like.

    Raises:
      ValueError: folders that are no such set, or may be read in two ways.
    """
    folders = subfolders(path)
    explicit = classes is not None and -1 not in places(split_names(classes, folders), folders)
    named = [name for name in folders if split_of(name)] or _named_by_words(path, folders)
    if (
        named
        and not explicit
        and _are_splits(path, named, [name for name in folders if name not in named], options.files)
    ):
        return _open_splits(path, by_split(named), [name for name in folders if name not in named], options)
    files = options.files
    every = class_folders.list_classes(path, path, files)
    some = class_folders.with_files(every)
    candidates = label_files.candidates(path, options)
    has_classes = options.label_kind == "class"
    if (len(some) < 2 and not explicit) or not has_classes:
        if file := label_files.default_file(candidates):
            return open_labels(path, file, options)
        label_files.refuse_unread(path, candidates)
        if not has_classes:
            _refuse_classes(path, options)
    if not folders:
        refuse_flat(path, files)
    notes = []
    if not explicit:
        notes += class_folders.check_shape(path, some, files)
        notes += label_files.compare_with_folders(path, some, candidates, options)
    _check_no_columns(path, options)
    names = class_folders.check_classes(path, every, files, every=True)
    source = class_folders.file_source(path, path, every, names, files)
    beside = class_folders.files_beside(path, files)
    return StoredDataset(str(path), {"train": source}, (*class_folders.folder_notes(every, beside, files), *notes))


def _named_by_words(path: Path, folders: list[str]) -> list[str]:
    """Folders like seg_train and seg_test: of train and another split, each with folders in it."""
    named = {name: split for name in folders if (split := split_in(name)) and subfolders(path / name)}
    return list(named) if "train" in named.values() and len(set(named.values())) > 1 else []


def _are_splits(path: Path, named: list[str], others: list[str], files: FileKind) -> bool:
    """Whether the `named` folders are splits. Raises ValueError for a single one beside folders of classes."""
    nested = [name for name in named if subfolders(path / name)]
    rivals = [name for name in others if has_files(path / name, files)]
    if rivals and len(nested) == 1:
        problem = f"has the split {nested[0]!r} beside {', '.join(rivals[:5])}"
        raise ValueError(f"{path} {problem}; expected a folder per class, or train, test, validation alone")
    return bool(nested or not rivals)


def _inmost(path: Path, files: FileKind) -> Path:
    """The folder of a split, or in it the only folder, if that is called like a split too: seg_train/seg_train."""
    inner = subfolders(path)
    is_alone = len(inner) == 1 and split_in(inner[0]) and not class_folders.files_beside(path, files)
    return path / inner[0] if is_alone else path


def _open_splits(path: Path, splits: dict[str, str], others: list[str], options: ReadOptions) -> StoredDataset:
    """Opens a folder per split: each with class folders, or with files and labels in a file."""
    files = options.files
    if "train" not in splits:
        first = next(iter(splits.values()))
        raise ValueError(
            f"{path} has a folder {first!r}, but none of training {files.noun}s; expected beside it: 'train'"
        )
    splits = {split: str(_inmost(path / folder, files).relative_to(path)) for split, folder in splits.items()}
    train = path / splits["train"]
    trained = class_folders.list_classes(train, path, files)
    if options.label_kind != "class" or (not class_folders.with_files(trained) and has_files(train, files)):
        return _open_flat_splits(path, splits, options)
    _check_no_columns(path, options)
    if not trained:
        refuse_flat(train, files)
    deep = class_folders.check_shape(train, class_folders.with_files(trained), files)
    names = class_folders.check_classes(train, trained, files, every=True)
    source = class_folders.file_source(path, train, trained, names, files)
    parts: dict[str, ImageFileSource | LazySplit] = {"train": source}
    unlabelled, everything = {}, list(trained)
    for split, folder in list(splits.items())[1:]:
        here = path / folder
        tested = class_folders.list_classes(here, path, files)
        is_strange = [one.name not in names for one in tested]
        if len(tested) < 2 and all(is_strange) and (flat := list_files(here, kind=files).paths):  # none, or val/images
            unlabelled[split] = f"{here} has {len(flat):,} {files.noun}s, but no sub-folder of them per class"
            continue
        everything += tested
        parts[split] = _test_split(path, here, train, tested, names, files)
    beside = [
        f"{folder}/{name}" for folder in splits.values() for name in class_folders.files_beside(path / folder, files)
    ]
    notes = class_folders.folder_notes(everything, [] if unlabelled else beside, files)
    if others:
        notes += (f"folders beside those of splits are not read: {join_names(others, 5)}",)
    return StoredDataset(str(path), parts, (*notes, *deep), unlabelled)


def _test_split(
    root: Path, path: Path, train: Path, tested: list[Class], classes: tuple[str, ...], files: FileKind
) -> ImageFileSource | LazySplit:
    """The files of a split's class folders; what is wrong with them is reported when they are asked for."""
    try:
        class_folders.check_classes(path, tested, files, every=False)
        if strange := [one.folder for one in tested if one.name not in classes]:
            raise ValueError(f"{path} has classes that {train} has not: {join_names(strange)}")
        return class_folders.file_source(root, path, tested, classes, files)
    except ValueError as error:
        return LazySplit(sum(len(one.listing.paths) for one in tested), partial(_raise, error))


def _raise(error: ValueError) -> NoReturn:
    raise error


def _open_flat_splits(path: Path, splits: dict[str, str], options: ReadOptions) -> StoredDataset:
    """Splits whose files lie in no class folders: labels in one file for all, or in one in each."""
    candidates = label_files.candidates(path, options)
    if file := label_files.default_file(candidates):
        return open_labels(path, file, options)
    opened, notes, unlabelled = {}, [], {}
    for split, folder in splits.items():
        here = path / folder
        inside = label_files.candidates(here, options)
        file = label_files.default_file(inside)
        if file and (split == "train" or has_labels(file, options)):
            opened[split] = open_labels(here, file, options)
            notes += [f"{folder}: {note}" for note in opened[split].notes]
        elif split != "train":
            unlabelled[split] = f"{here} has no labels, neither class folders nor metadata.csv"
        else:
            label_files.refuse_unread(path, [*candidates, *inside])
            if options.label_kind != "class":
                _refuse_classes(path, options)
            refuse_flat(here, options.files)
    classes = opened["train"].examples("train").classes

    def read(split: str) -> ImageFileSource:
        part: Any = opened[split].examples("train")
        if strange := [name for name in part.classes if name not in classes]:
            problem = f"has classes that {path / splits['train']} has not: {join_names(strange)}"
            raise ValueError(f"{path / splits[split]} {problem}")
        labels = compact(relabel(part.labels, part.classes, classes))
        return ImageFileSource(part.paths, labels, classes, str(path))

    parts = {split: LazySplit(opened[split].splits["train"], partial(read, split)) for split in opened}
    return StoredDataset(str(path), parts, tuple(notes), unlabelled)


def _check_no_columns(path: Path, options: ReadOptions) -> None:
    options.check_no_columns(path, "folders of classes", "; to read one: labels='FILE'")


def _refuse_classes(path: Path, options: ReadOptions) -> NoReturn:
    """Raises ValueError for a folder without the labels that a task needs: several classes, targets or transcripts."""
    expected = f"labels in a file: metadata.csv beside the {options.files.noun}s, or labels='FILE'"
    raise ValueError(f"{path}: expected {expected}; folders of classes are for label_kind='class'")


def refuse_flat(path: Path, files: FileKind) -> NoReturn:
    """Raises ValueError for a folder without class folders: what is there, and what was expected."""
    if class_folders.files_beside(path, files):
        problem = f"{path} has {files.noun}s, but no sub-folder of them per class, and"
        if (table := next((name for name in label_files.DEFAULT_FILES if (path / name).is_file()), None)) is not None:
            hint = "; captions are for --task contrastive" if files is IMAGE_FILES else ""
            raise ValueError(f"{problem} {table} has no column of labels{hint}")
        raise ValueError(f"{problem} no metadata.csv of labels; labels='FILE' reads another file of labels")
    raise ValueError(f"{path} has no {files.noun}s; expected {files.expected}")
