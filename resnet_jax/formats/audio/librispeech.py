"""LibriSpeech (Panayotov et al. 2015): sounds in SUBSET/SPEAKER/CHAPTER, with a file of transcripts in each chapter."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.label_kinds import transcript_tokens
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.errors import composed
from resnet_jax.formats.file_kinds import SOUNDS
from resnet_jax.formats.listing import is_shown
from resnet_jax.formats.splits import split_in

SUFFIX = ".trans.txt"


class Utterance(NamedTuple):
    """One line of a file of transcripts; the path is None if there is no such sound."""

    place: str  # "FILE, line 3", for messages
    path: Path | None
    text: str


def transcript_files(path: Path) -> list[Path]:
    """The files of transcripts below a folder, in the order of their names."""
    files = path.rglob(f"*{SUFFIX}")
    return sorted(file for file in files if all(map(is_shown, file.relative_to(path).parts)) and file.is_file())


def open_transcripts(path: Path, files: list[Path], *, skip_missing: bool = False) -> StoredDataset:
    """The sounds that `files` name, with their transcripts.

    Folders right below `path` are subsets: train-clean-100 and other training sets are "train" together; another subset
    is "test" or "validation", and where there are several of a kind each has the name of its folder. A folder of
    speakers or of chapters is "train".

    Raises:
      ValueError: a line without an identifier or a transcript, or one that is there twice; no training set.
    """
    splits, subsets = _splits(path, files)
    parts = {split: _read(split_files) for split, split_files in splits.items()}
    tokens = transcript_tokens(one.text for one in parts["train"])
    notes = [f"split {split!r}: {join_names(folders, 5)}" for split, folders in subsets.items() if folders]
    stored = {}
    for split, utterances in parts.items():
        missing = sum(one.path is None for one in utterances)
        if missing and skip_missing:
            notes.append(f"{missing:,} of {len(utterances):,} sounds of {split!r} are missing")
        count = len(utterances) - missing * skip_missing
        stored[split] = LazySplit(count, partial(_source, path, split, utterances, tokens, skip_missing))
    return StoredDataset(str(path), stored, tuple(notes))


def _splits(path: Path, files: list[Path]) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
    """Files by split, training first; and the folders of each split."""
    by_folder: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_folder[file.relative_to(path).parts[0]].append(file)
    words = {folder: split_in(folder) for folder in by_folder}
    if not any(words.values()):
        return {"train": files}, {}
    if nameless := [folder for folder, word in words.items() if word is None]:
        problem = f"{join_names(nameless, 5)} beside {next(folder for folder, word in words.items() if word)}"
        raise ValueError(f"{path} has {problem}; expected folders of subsets alone, as train-clean-100 and dev-clean")
    if "train" not in words.values():
        raise ValueError(f"{path} has {join_names(sorted(words), 5)}, but no training set, as train-clean-100")
    splits: dict[str, list[Path]] = {"train": []}
    subsets: dict[str, list[str]] = defaultdict(list)
    for folder, word in words.items():
        is_alone = word == "train" or list(words.values()).count(word) == 1
        split = str(word) if is_alone else folder
        splits.setdefault(split, []).extend(by_folder[folder])
        subsets[split].append(folder)
    return splits, dict(subsets)


def _read(files: list[Path]) -> list[Utterance]:
    utterances = []
    for file in files:
        sounds = {one.stem: one for one in sorted(file.parent.iterdir()) if one.suffix.lower() in SOUNDS}
        seen = set()
        try:
            lines = file.read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start:,}") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            name, _, text = line.strip().partition(" ")
            place = f"{file}, line {number}"
            if not text.strip():
                raise ValueError(f"{place}: expected an identifier and a transcript, got {line[:50]!r}")
            if name in seen:
                raise ValueError(f"{place}: {name} has a transcript already; expected one of each sound")
            seen.add(name)
            utterances.append(Utterance(place, sounds.get(name), composed(text.strip())))
    return utterances


def _source(
    root: Path, split: str, utterances: list[Utterance], tokens: tuple[str, ...], skip_missing: bool
) -> ImageFileSource:
    if not skip_missing and (missing := [one for one in utterances if one.path is None]):
        problem = f"{len(missing):,} of {len(utterances):,} sounds of {split!r} are missing"
        raise ValueError(f"{missing[0].place}: {problem}, this the first; go without: skip_unreadable=True")
    known = set(tokens)
    for one in utterances:
        if other := next((character for character in one.text if character not in known), None):
            raise ValueError(f"{one.place}: the transcript has {other!r}, which no transcript of 'train' has")
    present = [(one.path, one.text) for one in utterances if one.path is not None]
    labels = np.array([text for _, text in present], np.str_)
    return ImageFileSource([path for path, _ in present], labels, tokens, str(root))
