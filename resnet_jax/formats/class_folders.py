"""Folders of classes: which there are, whether they are classes, and their files."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.errors import composed
from resnet_jax.formats.file_kinds import IMAGE_FILES, SOUNDS, FileKind
from resnet_jax.formats.listing import Listing, list_files, notes_on, subfolders
from resnet_jax.formats.row_labels import class_order
from resnet_jax.formats.splits import shared_folders, split_of


class Class(NamedTuple):
    """A class folder and its files."""

    folder: str  # its name on the disk
    name: str
    listing: Listing


def list_classes(path: Path, root: Path, kind: FileKind) -> list[Class]:
    """The sub-folders of `path`, in the dataset `root`, with their files of a kind."""
    return [Class(name, composed(name), list_files(path / name, root, kind)) for name in subfolders(path)]


def with_files(class_folders: list[Class]) -> list[Class]:
    """Those that have files."""
    return [one for one in class_folders if one.listing.paths]


def check_shape(path: Path, class_folders: list[Class], kind: FileKind) -> list[str]:
    """Raises ValueError for folders that are hardly classes. Returns a note on folders that may lie too high."""
    inner = {one.folder: _inner_folders(path, one) for one in class_folders}
    names = [one.folder for one in class_folders]
    if len(names) == 1 and inner[names[0]]:
        raise ValueError(f"{path} has one folder of folders; did you mean {path / names[0]}?")
    if shared := shared_folders(inner):
        if all(map(split_of, shared)):
            problem = f"each of {join_names(names, 5)} has the splits {join_names(shared, 5)}"
            raise ValueError(f"{path}: {problem}; expected {path / shared[0] / names[0]} and so on")
        problem = f"{join_names(names, 5)} look like splits: each has the folders {join_names(shared, 5)}"
        raise ValueError(f"{path}: {problem}; expected train and test; if these are classes: {as_classes(names)}")
    real = defaultdict(list)
    for one in class_folders:
        real[os.path.realpath(path / one.folder)].append(one.folder)
    if linked := next((group for group in real.values() if len(group) > 1), None):
        raise ValueError(f"{path} has several links to one folder: {', '.join(linked)}; expected a folder per class")
    if len(names) < 2 or not all(inner.values()):
        return []
    deep = [str(one.listing.paths[0].parent.relative_to(path)) for one in class_folders]
    problem = f"classes are {join_names(names, 4)}, but {kind.noun}s lie deeper, as in {join_names(deep, 4)}"
    return [f"{problem}; did you mean {path / names[0]}?"]


def as_classes(names: list[str]) -> str:
    """The argument that makes classes of folders, for a message."""
    return f"classes={tuple(names[:5])!r}"


def _inner_folders(path: Path, one: Class) -> set[str]:
    """Names of the folders of files in a class's folder, or in the only one there; none if files lie beside them."""
    if any(file.parent == path / one.folder for file in one.listing.paths):  # the first, as a rule
        return set()
    inside = [file.relative_to(path / one.folder).parts for file in one.listing.paths]
    while inside:
        if any(len(parts) == 1 for parts in inside):
            return set()
        if len(first := {composed(parts[0]).casefold() for parts in inside}) > 1:
            return first
        inside = [parts[1:] for parts in inside]
    return set()


def check_classes(path: Path, class_folders: list[Class], kind: FileKind, *, every: bool) -> tuple[str, ...]:
    """The classes in the order of their labels. `every`: each must have files."""
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
        if kind is IMAGE_FILES and SOUNDS.intersection(empty.listing.unread):
            there += "; to read sounds: kind='audio'"
        raise ValueError(
            f"class folder {path / empty.folder} has no {kind.noun}s ({', '.join(sorted(kind.extensions))}){there}"
        )
    return class_order({one.name for one in class_folders})


def file_source(
    root: Path, path: Path, class_folders: list[Class], classes: tuple[str, ...], kind: FileKind
) -> ImageFileSource:
    """Files of all class folders, in the order of the folders' names on the disk."""
    paths = [file for one in class_folders for file in one.listing.paths]
    if not paths:
        raise ValueError(f"{path} has no {kind.noun}s")
    labels = np.repeat(
        [classes.index(one.name) for one in class_folders], [len(one.listing.paths) for one in class_folders]
    )
    return ImageFileSource(paths, labels.astype(np.int32), classes, str(root))


def files_beside(path: Path, kind: FileKind) -> list[str]:
    """Files of a kind that lie beside the class folders."""
    return [file.name for file in path.iterdir() if not file.is_dir() and kind.matches(str(file))]


def folder_notes(class_folders: list[Class], beside: list[str], kind: FileKind) -> tuple[str, ...]:
    """Notes on files that are not read, links that are not followed, and files beside the class folders."""
    unread: Counter[str] = Counter()
    for one in class_folders:
        unread.update(one.listing.unread)
    notes = notes_on(unread, [link for one in class_folders for link in one.listing.links])
    if beside:
        problem = f"{kind.noun}s beside the class folders are not read"
        notes += (f"{problem}: {join_names(sorted(beside), 3)} ({len(beside):,})",)
    return notes
