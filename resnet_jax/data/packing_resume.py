"""What of an interrupted packed set can stay: complete shards whose images have not changed; see `packing`."""

from __future__ import annotations

import zlib
from itertools import count
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from resnet_jax.data.sources.identity import MANY
from resnet_jax.data.sources.packed import Rows, read_rows, shard_files
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.data.sources.subsets import identify

CORRUPTED = (ValueError, OSError, KeyError, EOFError, BadZipFile, zlib.error)  # errors of reading rows


def kind_of_check(sources: dict[str, DataSource]) -> str:
    """How changed images are found: by their contents, or by names and sizes where they are many."""
    return "contents" if sum(map(len, sources.values())) <= MANY else "names"


def is_complete(pixels_file: Path, rows_file: Path, source: DataSource, index: np.ndarray, kind: str) -> bool:
    """Whether a shard was written whole, and of the images at `index` as they are now.

    Its rows are written after its pixels.
    """
    if not (rows_file.is_file() and pixels_file.is_file()):
        return False
    try:
        rows, skipped = read_rows(rows_file, 0), read_skipped(rows_file)
    except CORRUPTED:  # a corrupted disk: written again
        return False
    expected = int(rows.shape.astype(np.int64).prod(1).sum())
    is_whole = len(rows) + len(skipped) == len(index) and expected == pixels_file.stat().st_size
    return is_whole and has_rows_of(rows, source, index, kind)


def has_rows_of(rows: Rows, source: DataSource, index: np.ndarray, kind: str) -> bool:
    """Whether rows are those of the images at `index`, in order, some of which may have been skipped."""
    now, fingerprints = source.identity(index, kind), rows.name_and_size if kind == "names" else rows.fingerprint
    images = zip(now.fingerprints.tolist(), now.names.tolist(), now.labels.tolist(), strict=True)
    return all(row in images for row in zip(fingerprints.tolist(), rows.name.tolist(), rows.code.tolist(), strict=True))


def read_skipped(rows_file: Path) -> list[str]:
    """The reasons of the images of a shard that were skipped."""
    with np.load(rows_file, allow_pickle=False) as arrays:
        return [reason.decode(errors="surrogateescape") for reason in arrays["skipped"].tolist()]


def continues(folder: Path, sources: dict[str, DataSource]) -> bool:
    """Whether at least half of the images that are packed are in these sources, by their names and sizes."""
    packed = shared = 0
    for split, source in sources.items():
        now = identify(source, "names").fingerprints
        for number in _numbers(folder, split):
            try:
                rows = read_rows(shard_files(folder, split, number)[1], number)
            except CORRUPTED:
                continue
            packed += len(rows)
            shared += int(np.isin(rows.name_and_size, now).sum())
    return 2 * shared >= packed


def drop_changed(folder: Path, sources: dict[str, DataSource], size: int) -> None:
    """Removes the shards, of `size` images, that are not of these sources as they are now, or that skip images.

    An image that was skipped may have been repaired, or must stop the command now.
    """
    kind = kind_of_check(sources)
    for split, source in sources.items():
        for number in _numbers(folder, split):
            pixels_file, rows_file = shard_files(folder, split, number)
            index = np.arange(number * size, max(number * size, min((number + 1) * size, len(source))))
            is_kept = len(index) and is_complete(pixels_file, rows_file, source, index, kind)
            if not is_kept or read_skipped(rows_file):
                rows_file.unlink(missing_ok=True)
                pixels_file.unlink(missing_ok=True)


def _numbers(folder: Path, split: str) -> list[int]:
    """Numbers of the shards that a folder has of a split: they are written in order."""
    shards = (shard_files(folder, split, number) for number in count())
    return [number for number, _ in enumerate(iter(lambda: any(file.exists() for file in next(shards)), False))]
