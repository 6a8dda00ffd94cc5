"""Packed sets, which `resnet-jax prepare` writes, as datasets."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.packed import (
    MANIFEST,
    PLAN,
    Manifest,
    PackedSource,
    Rows,
    Shard,
    read_manifest,
    read_rows,
    shard_files,
)
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.errors import one_line

TASKS = {"class": "classification", "multi-hot": "multilabel", "targets": "regression"}


def is_packed(path: Path) -> bool:
    """Whether a path is the folder of a packed set, complete or not."""
    return (path / MANIFEST).is_file() or (path / PLAN).is_file()


def open_packed(path: Path, label_kind: LabelKind = "class") -> StoredDataset:
    """A packed set. A split is opened at its first use; `data --verify` compares its pixels with their checksums.

    Raises:
      ValueError: it is not complete, corrupted, or has labels of another kind.
    """
    if not (path / MANIFEST).exists():
        raise ValueError(f"{path} is not complete: prepare was interrupted; the same command resumes it")
    manifest = read_manifest(path)
    if label_kind != manifest.label_kind:
        expected = f"--task {TASKS.get(manifest.label_kind, manifest.label_kind)}"
        raise ValueError(f"{path} was prepared with label_kind={manifest.label_kind!r}; expected {expected}")
    parts = {
        split: LazySplit(manifest.count(split), partial(_read_split, path, split, manifest))
        for split in manifest.splits
    }
    note = f"packed from {manifest.source}: shorter sides of at most {manifest.size} pixels"
    return StoredDataset(str(path), parts, (note, *manifest.notes), dict(manifest.unlabelled), manifest.fixed)


def _read_split(path: Path, split: str, manifest: Manifest) -> PackedSource:
    parts = [_open_shard(path, split, number, shard) for number, shard in enumerate(manifest.splits[split])]
    rows = Rows.joined([rows for _, rows in parts])
    return PackedSource([pixels for pixels, _ in parts], rows, manifest.classes, str(path), manifest.kind)


def _open_shard(path: Path, split: str, number: int, shard: Shard) -> tuple[np.ndarray, Rows]:
    """The pixels, memory-mapped, and rows of a shard. Raises ValueError for files that are missing or corrupted."""
    pixels, index = shard_files(path, split, number)
    try:
        if hashlib.sha256(index.read_bytes()).hexdigest() != shard.sha256:
            raise ValueError("it differs from its checksum")
        rows = read_rows(index, number)
    except (OSError, ValueError) as error:
        raise ValueError(f"{index} is corrupted ({one_line(error)}); prepare the set again") from None
    there = pixels.stat().st_size if pixels.is_file() else 0
    if there != shard.bytes or len(rows) != shard.images:
        raise ValueError(f"{pixels} is corrupted: expected {shard.bytes:,} bytes, got {there:,}; prepare the set again")
    flat = np.asarray(np.memmap(pixels, np.uint8, "r")) if there else np.empty(0, np.uint8)  # no map has 0 bytes
    return flat, rows
