"""Folders of images: a sub-folder per class, or such folders in each split's."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from resnet_jax.data.sources.class_names import join_names, places, split_names
from resnet_jax.data.sources.formats import tables
from resnet_jax.data.sources.formats.file_index import FileIndex, compare
from resnet_jax.data.sources.formats.labels import DEFAULT_FILES, class_order, has_labels, open_labels
from resnet_jax.data.sources.formats.listing import (
    IMAGES,
    Listing,
    has_images,
    is_image,
    list_images,
    notes_on,
    subfolders,
)
from resnet_jax.data.sources.formats.splits import by_split, shared_folders, split_in, split_of
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.label_kinds import compact
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.data.sources.subsets import relabel
from resnet_jax.errors import composed

KINDS = "a folder of images, of IDX files or of .parquet files, an .npz, .parquet, .csv, .tsv or .jsonl file"


class Class(NamedTuple):
    """A class folder and its images."""

    folder: str  # its name on the disk
    name: str
    listing: Listing


def open_folders(path: Path, classes: Sequence[str] | None = None, **options: Any) -> StoredDataset:
    """A folder with a sub-folder of images per class, or such folders for train and for val or test.

    Folders of splits may have other names (`splits.split_of`). Only "train" must be right; what is wrong with another
    split is reported when it is asked for. A file metadata.csv (.tsv, .jsonl) beside images without class folders has
    their labels.

    Args:
      classes: names that were asked for; if they are those of sub-folders, these are classes whatever they look like.
      options: `labels.open_labels`'s.

    Raises:
      ValueError: folders that are no such set, or may be read in two ways.
    """
    folders = subfolders(path)
    explicit = classes is not None and -1 not in places(split_names(classes, folders), folders)
    named = [name for name in folders if split_of(name)] or _named_by_words(path, folders)
    nested = [name for name in named if subfolders(path / name)]
    if named and not explicit:
        others = [name for name in folders if name not in named]
        rivals = [name for name in others if has_images(path / name)]
        if rivals and len(nested) == 1:
            problem = f"has the split {nested[0]!r} beside {', '.join(rivals[:5])}"
            raise ValueError(f"{path} {problem}; expected a folder per class, or train, test, validation alone")
        if nested or not rivals:
            return _open_splits(path, by_split(named), others, options)
    class_folders = _list_classes(path, folders, path)
    with_images = [one for one in class_folders if one.listing.paths]
    candidates = _label_files(path, options)
    has_classes = options["label_kind"] == "class"
    if (len(with_images) < 2 and not explicit) or not has_classes:
        if file := _metadata(candidates):
            return open_labels(path, file, **options)
        _refuse_unread(path, candidates)
        if not has_classes:
            _refuse_classes(path)
    if not folders:
        refuse_flat(path)
    beside = [] if explicit else _check_shape(path, with_images, candidates)
    _refuse_columns(path, options)
    names = _check_classes(path, class_folders, every=True)
    notes = (*_notes(class_folders, _beside(path)), *beside)
    return StoredDataset(str(path), {"train": _files(path, path, class_folders, names)}, notes)


def _named_by_words(path: Path, folders: list[str]) -> list[str]:
    """Folders like seg_train and seg_test: of train and another split, each with folders in it."""
    named = {name: split for name in folders if (split := split_in(name)) and subfolders(path / name)}
    return list(named) if "train" in named.values() and len(set(named.values())) > 1 else []


def _inmost(path: Path) -> Path:
    """The folder of a split, or in it the only folder, if that is called like a split too: seg_train/seg_train."""
    inner = subfolders(path)
    return path / inner[0] if len(inner) == 1 and split_in(inner[0]) and not _beside(path) else path


def _open_splits(path: Path, splits: dict[str, str], others: list[str], options: dict[str, Any]) -> StoredDataset:
    """Opens a folder per split: each with class folders, or with images and labels in a file."""
    if "train" not in splits:
        first = next(iter(splits.values()))
        raise ValueError(f"{path} has a folder {first!r}, but none of training images; expected beside it: 'train'")
    splits = {split: str(_inmost(path / folder).relative_to(path)) for split, folder in splits.items()}
    train = path / splits["train"]
    class_folders = _list_classes(train, subfolders(train), path)
    if (not any(one.listing.paths for one in class_folders) and has_images(train)) or options["label_kind"] != "class":
        return _open_flat_splits(path, splits, options)
    _refuse_columns(path, options)
    if not class_folders:
        refuse_flat(train)
    deep = _check_shape(train, [one for one in class_folders if one.listing.paths], [])
    names = _check_classes(train, class_folders, every=True)
    parts: dict[str, ImageFileSource | LazySplit] = {"train": _files(path, train, class_folders, names)}
    unlabelled, everything = {}, list(class_folders)
    for split, folder in list(splits.items())[1:]:
        here = path / folder
        tested = _list_classes(here, subfolders(here), path)
        strange = [one.folder for one in tested if one.name not in names]
        if len(tested) == len(strange) < 2 and (flat := list_images(here).paths):  # none, or val/images
            unlabelled[split] = f"{here} has {len(flat):,} images, but no sub-folder of them per class"
            continue
        everything += tested
        try:
            _check_classes(here, tested, every=False)
            if strange:
                raise ValueError(f"{here} has classes that {train} has not: {join_names(strange)}")
            parts[split] = _files(path, here, tested, names)
        except ValueError as error:
            parts[split] = LazySplit(sum(len(one.listing.paths) for one in tested), partial(_raise, error))
    beside = [f"{folder}/{name}" for folder in splits.values() for name in _beside(path / folder)]
    notes = _notes(everything, beside if not unlabelled else [])
    notes += tuple(f"split {split!r} is not used: {reason}" for split, reason in unlabelled.items())
    if others:
        notes += (f"folders beside those of splits are not read: {join_names(others, 5)}",)
    return StoredDataset(str(path), parts, (*notes, *deep), unlabelled)


def _raise(error: ValueError) -> NoReturn:
    raise error


def _open_flat_splits(path: Path, splits: dict[str, str], options: dict[str, Any]) -> StoredDataset:
    """Splits whose images lie in no class folders: labels in one file for all, or in one in each."""
    candidates = _label_files(path, options)
    if file := _metadata(candidates):
        return open_labels(path, file, **options)
    opened, notes = {}, []
    for split, folder in splits.items():
        here = path / folder
        inside = _label_files(here, options)
        file = _metadata(inside)
        if file and (split == "train" or has_labels(file, *_columns(options), options["label_kind"])):
            opened[split] = open_labels(here, file, **options)
            notes += [f"{folder}: {note}" for note in opened[split].notes]
        elif split == "train":
            _refuse_unread(path, [*candidates, *inside])
            if options["label_kind"] != "class":
                _refuse_classes(path)
            refuse_flat(here)
    classes = opened["train"].examples("train").classes

    def read(split: str) -> ImageFileSource:
        part: Any = opened[split].examples("train")
        if strange := [name for name in part.classes if name not in classes]:
            problem = f"has classes that {path / splits['train']} has not: {join_names(strange)}"
            raise ValueError(f"{path / splits[split]} {problem}")
        labels = compact(relabel(part.labels, part.classes, classes))
        return ImageFileSource(part.paths, labels, classes, str(path))

    parts = {split: LazySplit(opened[split].splits["train"], partial(read, split)) for split in opened}
    unlabelled = {
        split: f"{path / folder} has no labels, neither class folders nor metadata.csv"
        for split, folder in splits.items()
        if split not in opened
    }
    notes += [f"split {split!r} is not used: {reason}" for split, reason in unlabelled.items()]
    return StoredDataset(str(path), parts, tuple(notes), unlabelled)


def _label_files(path: Path, options: dict[str, Any]) -> list[Path]:
    """Files in a folder with the columns that are asked for."""
    return [file for file in tables.label_files(path) if tables.has_columns(file, *_columns(options))]


def _columns(options: dict[str, Any]) -> tuple[str | None, tuple[str, ...] | None]:
    return options["image_column"], options["label_column"]


def _metadata(candidates: list[Path]) -> Path | None:
    """The file of labels that is read without being asked for."""
    files = [file for file in candidates if file.name.lower() in DEFAULT_FILES]
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        raise ValueError(f"{files[0].parent} has {names}; expected one; name it: --data.labels {files[0].name}")
    return files[0] if files else None


def _refuse_unread(path: Path, candidates: list[Path]) -> None:
    if candidates:
        names = ", ".join(str(file.relative_to(path)) for file in candidates[:5])
        problem = f"no class folders, and files of labels that are not read: {names}"
        raise ValueError(f"{path} has {problem}; to read one: --data.labels {candidates[0].relative_to(path)}")


def _refuse_classes(path: Path) -> NoReturn:
    """Raises ValueError for a folder without the labels of several classes, or the targets, that a task needs."""
    expected = "labels in a file: metadata.csv beside the images, or --data.labels FILE"
    raise ValueError(f"{path}: expected {expected}; folders of classes are for label_kind='class'")


def refuse_flat(path: Path) -> NoReturn:
    """Raises ValueError for a folder without class folders: what is there, and what was expected."""
    if _beside(path):
        problem = f"{path} has images, but no sub-folder of them per class, and no metadata.csv of labels"
        raise ValueError(f"{problem}; --data.labels names another file of labels")
    raise ValueError(f"{path} has no images; expected {KINDS}")


def _refuse_columns(path: Path, options: dict[str, Any]) -> None:
    image_column, label_column = _columns(options)
    names = {"image_column": image_column, "label_column": label_column and " ".join(label_column)}
    if asked := next((name for name, column in names.items() if column is not None), None):
        problem = f"data.{asked}={names[asked]!r} is for Parquet files and files of labels"
        raise ValueError(f"{path} has folders of classes; {problem}; to read one: --data.labels FILE")


def _list_classes(path: Path, folders: Iterable[str], root: Path) -> list[Class]:
    return [Class(name, composed(name), list_images(path / name, root)) for name in folders]


def _check_shape(path: Path, class_folders: list[Class], candidates: list[Path]) -> list[str]:
    """Raises ValueError for folders that are hardly classes. Returns notes: folders too high, and files not read."""
    notes = []
    inner = {one.folder: _inner_folders(path, one) for one in class_folders}
    names = [one.folder for one in class_folders]
    if len(names) == 1 and inner[names[0]]:
        raise ValueError(f"{path} has one folder of folders; did you mean {path / names[0]}?")
    if shared := shared_folders(inner):
        if all(map(split_of, shared)):
            example = path / shared[0] / names[0]
            problem = (
                f"each of {join_names(names, 5)} has the splits {join_names(shared, 5)}; expected {example} and so on"
            )
            raise ValueError(f"{path}: {problem}")
        problem = f"{join_names(names, 5)} look like splits: each has the folders {join_names(shared, 5)}"
        hint = f"expected train and test; if these are classes: --data.classes {' '.join(names[:5])}"
        raise ValueError(f"{path}: {problem}; {hint}")
    if len(names) > 1 and all(inner.values()):
        deep = [str(one.listing.paths[0].parent.relative_to(path)) for one in class_folders]
        problem = f"classes are {join_names(names, 4)}, but images lie deeper, as in {join_names(deep, 4)}"
        notes.append(f"{problem}; did you mean {path / names[0]}?")
    real = defaultdict(list)
    for one in class_folders:
        real[os.path.realpath(path / one.folder)].append(one.folder)
    if linked := next((group for group in real.values() if len(group) > 1), None):
        raise ValueError(f"{path} has several links to one folder: {', '.join(linked)}; expected a folder per class")
    for file in candidates:
        classes = {image: one.folder for one in class_folders for image in one.listing.paths}
        columns = tables.choose_columns(file)
        if tables.are_doubtful(columns):
            continue
        rows = tables.read_rows(file, columns)
        relation = compare(rows, FileIndex(path, file, list(classes)), classes)
        if relation in ("finer", "coarser"):
            notes.append(
                f"{file.name} has {relation} labels than the folders; not read: --data.labels {file.name} reads it"
            )
        elif relation == "other":
            problem = f"folders {join_names(names, 5)}, and other labels in {file.name}"
            hint = f"--data.labels {file.name} to read them, or --data.classes {' '.join(names[:5])} for the folders"
            raise ValueError(f"{path} has the {problem}; expected {hint}")
    return notes


def _inner_folders(path: Path, one: Class) -> set[str]:
    """Names of the folders of images in a class's folder, or in the only one there; none if images lie beside them."""
    if any(image.parent == path / one.folder for image in one.listing.paths):  # the first, as a rule
        return set()
    inside = [image.relative_to(path / one.folder).parts for image in one.listing.paths]
    while inside:
        if any(len(parts) == 1 for parts in inside):
            return set()
        if len(first := {composed(parts[0]).casefold() for parts in inside}) > 1:
            return first
        inside = [parts[1:] for parts in inside]
    return set()


def _check_classes(path: Path, class_folders: list[Class], *, every: bool) -> tuple[str, ...]:
    """The classes in the order of their labels. `every`: each must have images."""
    groups = defaultdict(list)
    for one in class_folders:
        groups[one.name.casefold()].append(one)
    for group in groups.values():
        if len(group) > 1:
            how = "Unicode form" if len({one.name for one in group}) < len(group) else "case"
            names = ", ".join(one.folder for one in group)
            raise ValueError(f"{path} has classes whose names differ by {how} alone: {names}")
    if every and (empty := next((one for one in class_folders if not one.listing.paths), None)):
        there = "".join(f"; {note}" for note in notes_on(empty.listing.unread))
        raise ValueError(f"class folder {path / empty.folder} has no images ({', '.join(sorted(IMAGES))}){there}")
    return class_order({one.name for one in class_folders})


def _files(root: Path, path: Path, class_folders: list[Class], classes: tuple[str, ...]) -> ImageFileSource:
    """Images of all class folders, in the order of the folders' names on the disk."""
    paths = [image for one in class_folders for image in one.listing.paths]
    if not paths:
        raise ValueError(f"{path} has no images")
    labels = np.repeat(
        [classes.index(one.name) for one in class_folders], [len(one.listing.paths) for one in class_folders]
    )
    return ImageFileSource(paths, labels.astype(np.int32), classes, str(root))


def _beside(path: Path) -> list[str]:
    """Images that lie beside the class folders."""
    return [file.name for file in path.iterdir() if not file.is_dir() and is_image(str(file))]


def _notes(class_folders: list[Class], beside: list[str]) -> tuple[str, ...]:
    unread: Counter[str] = Counter()
    for one in class_folders:
        unread.update(one.listing.unread)
    notes = notes_on(unread, [link for one in class_folders for link in one.listing.links])
    if beside:
        notes += (f"images beside the class folders are not read: {join_names(sorted(beside), 3)} ({len(beside):,})",)
    return notes
