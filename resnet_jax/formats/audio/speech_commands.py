"""Speech Commands (Warden 2018): class folders, and lists of the files to validate and to test on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.formats import class_folders
from resnet_jax.formats.file_kinds import SOUND_FILES

LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
NOISE = "_background_noise_"  # a folder of long sounds without a word
MOST_BYTES = 2**26  # of a list


def is_there(path: Path) -> bool:
    """Whether a folder has both lists."""
    return all((path / name).is_file() for name in LISTS.values())


def open_lists(path: Path, *, skip_missing: bool = False) -> StoredDataset:
    """The class folders of `path`, but those whose names begin with _; files in neither list are for training.

    Raises:
      ValueError: a list that is no text, or names a file twice, one of the other list, or (without `skip_missing`) one
        that is not there.
    """
    every = [one for one in class_folders.list_classes(path, path, SOUND_FILES) if not one.folder.startswith("_")]
    classes = class_folders.check_classes(path, every, SOUND_FILES, every=True)
    whole = class_folders.file_source(path, path, every, classes, SOUND_FILES)
    places = {file.relative_to(path).as_posix(): place for place, file in enumerate(whole.paths)}
    splits = {split: _lines(path / name) for split, name in LISTS.items()}
    _check_distinct(path, splits)
    notes = list(class_folders.folder_notes(every, [], SOUND_FILES))
    parts: dict[str, ImageFileSource | LazySplit] = {}
    for split, names in splits.items():
        missing = [name for name in names if name not in places]
        if missing and skip_missing:
            notes.append(f"{len(missing):,} of {len(names):,} sounds of {LISTS[split]} are missing")
        index = np.array([places[name] for name in names if name in places], np.int64)
        parts[split] = LazySplit(
            len(index), partial(_part, whole, index, path / LISTS[split], [] if skip_missing else missing)
        )
    tested = set(splits["validation"]) | set(splits["test"])
    trained = np.array([place for name, place in places.items() if name not in tested], np.int64)
    if not len(trained):
        raise ValueError(f"{path}: {' and '.join(LISTS.values())} name all sounds; none is left to train on")
    if (path / NOISE).is_dir():
        notes.append(f"{path / NOISE} is no class; data.audio.noise={str(path / NOISE)!r} mixes it in")
    return StoredDataset(str(path), {"train": whole.take(trained), **parts}, tuple(notes))


def _part(whole: ImageFileSource, index: np.ndarray, file: Path, missing: list[str]) -> ImageFileSource:
    if missing:
        problem = f"{len(missing):,} of its sounds are missing, the first {missing[0]}"
        raise ValueError(f"{file}: {problem}; go without: skip_unreadable=True")
    return whole.take(index)


def _lines(file: Path) -> list[str]:
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file} has {file.stat().st_size:,} bytes; expected at most {MOST_BYTES:,}")
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start:,}") from None
    if not (names := [line.strip().replace("\\", "/") for line in lines if line.strip()]):
        raise ValueError(f"{file} is empty; expected a sound a line, as yes/1.wav")
    return names


def _check_distinct(path: Path, splits: Mapping[str, list[str]]) -> None:
    lists: dict[str, str] = {}
    for split, names in splits.items():
        for name in names:
            if (other := lists.setdefault(name, split)) != split:
                raise ValueError(f"{path}: {LISTS[other]} and {LISTS[split]} both have {name}; expected it in one")
        if len(set(names)) < len(names):
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise ValueError(f"{path / LISTS[split]} has {twice} twice")
