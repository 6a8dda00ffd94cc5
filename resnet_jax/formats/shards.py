"""Parquet files of one set: which split each belongs to, and whether all are there."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.formats.arrays import UnreadSplit, stored
from resnet_jax.formats.item_columns import NOUNS
from resnet_jax.formats.options import ReadOptions
from resnet_jax.formats.parquet_options import ParquetOptions
from resnet_jax.formats.splits import split_in, split_of

ENTRIES = 100
SHARD = re.compile(r"(?P<name>.+?)-(?P<number>\d{3,6})-of-(?P<total>\d{3,6})(?P<rest>.*)")


def tables_below(path: Path) -> list[Path]:
    """Parquet files in a folder; else in its folders: "data", a configuration, or a split; else as default/train."""
    for pattern in ("*.parquet", "*/*.parquet"):
        if files := sorted(path.glob(pattern)):
            return files
    return sorted(file for folder in _split_folders(path) for file in folder.glob("*.parquet"))


def _split_folders(path: Path) -> Iterator[Path]:
    """Folders of splits in the folders of a folder; of one with many entries, as of images, the first are looked at."""
    # A link that points to itself is no folder; the entry's own is_dir() would raise an error.
    for outer in (entry for entry in os.scandir(path) if os.path.isdir(entry)):
        with os.scandir(outer.path) as inner:
            yield from (
                Path(entry.path) for entry in islice(inner, ENTRIES) if split_of(entry.name) and os.path.isdir(entry)
            )


def open_image_tables(path: Path, files: list[Path], options: ReadOptions) -> StoredDataset:
    """The set of images in these files; see `open_tables`."""
    column = None if options.file_column is None else (options.file_column,)
    columns = ParquetOptions("image", column, options.label_kind, options.label_column, options.skip_unreadable)
    return open_tables(path, files, columns)


def open_tables(path: Path, files: list[Path], options: ParquetOptions) -> StoredDataset:
    """The set of these files. A split that has no labels is not used; missing shards are an error, or (skipped) a note.

    Raises:
      ValueError: the files are of several sets, or one names no split beside others that do; a corrupted file.
    """
    from resnet_jax.formats import parquet

    splits: dict[str, UnreadSplit] = {}
    notes: list[str] = []
    unlabelled: dict[str, str] = {}
    for split, shards in _splits(path, files).items():
        where = str(shards[0]) if len(shards) == 1 else f"{shards[0]} to {shards[-1].name}"
        missing = _missing(shards)
        if missing and options.skip_unreadable:
            notes.append(f"split {split!r} is incomplete: {missing}")
        count = parquet.num_rows(shards)
        if split != "train" and not parquet.has_labels(shards, options):
            unlabelled[split] = f"{where} has no labels"
            continue
        splits[split] = UnreadSplit(count, partial(_read, shards, missing, options), NOUNS[options.item])
    return stored(str(path), splits, tuple(notes), unlabelled)


def _read(shards: list[Path], missing: str, options: ParquetOptions, known: tuple[str, ...] | None) -> ArraySource:
    from resnet_jax.formats import parquet

    if missing and not options.skip_unreadable:
        raise ValueError(f"{shards[0].parent}: {missing}; download again, or go without: skip_unreadable=True")
    return parquet.read(shards, options, known)


def _splits(path: Path, files: list[Path]) -> dict[str, list[Path]]:
    """Files by the split that they name, or else their folder; all "train" where none names one, and a file alone."""
    if files == [path]:
        return {"train": files}
    named = {file: split_in(file.stem) or _folder_split(path, file) for file in files}
    if not any(named.values()):
        named = dict.fromkeys(files, "train")
    places = sorted({str(file.parent.parent if _split_is_of_folder(path, file) else file.parent) for file in files})
    if len(places) > 1:
        raise ValueError(f"{path} has Parquet files in several folders; name one of {', '.join(places)}")
    splits: dict[str, list[Path]] = defaultdict(list)
    for file, split in named.items():
        shard = SHARD.fullmatch(file.stem)
        name = split or (shard and shard["name"])
        if name is None:
            other = next(one for one in files if named[one])
            raise ValueError(
                f"{file} names no split, though {other.name} beside it does; expected train, test or validation in it"
            )
        splits[name].append(file)
    return splits


def _split_is_of_folder(path: Path, file: Path) -> bool:
    return split_in(file.stem) is None and _folder_split(path, file) is not None


def _folder_split(path: Path, file: Path) -> str | None:
    return None if file.parent == path else split_of(file.parent.name.removeprefix("partial-"))  # of the hub's copies


def _missing(shards: list[Path]) -> str:
    """Which of the shards NAME-00000-of-00003, ... are missing; "": none.

    Raises:
      ValueError: shards of several sets of the same name.
    """
    sets: dict[tuple[Path, str], dict[int, dict[int, Path]]] = defaultdict(lambda: defaultdict(dict))
    for file in shards:
        if match := SHARD.fullmatch(file.stem):
            numbered = sets[file.parent, match["name"]][int(match["total"])]
            number = int(match["number"])
            if number in numbered:
                raise ValueError(f"{file} and {numbered[number].name} are the same shard; expected one of them")
            numbered[number] = file
    absent = []
    for (folder, name), totals in sets.items():
        if len(totals) > 1:
            raise ValueError(f"{folder} has shards {name}-... of {' and of '.join(map(str, sorted(totals)))}")
        total, numbered = next(iter(totals.items()))
        width = len(SHARD.fullmatch(next(iter(numbered.values())).stem)["number"])  # type: ignore[index]
        absent += [
            f"{name}-{number:0{width}d}-of-{total:0{width}d}.parquet"
            for number in range(min(total, 10**5))
            if number not in numbered
        ]
    if not absent:
        return ""
    return f"{absent[0]} and {len(absent) - 1} more are missing" if absent[1:] else f"{absent[0]} is missing"
