"""Packed sets, which `resnet-jax prepare` writes, as datasets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.packed import (
    MANIFEST,
    PLAN,
    Manifest,
    PackedSource,
    Rows,
    open_shard,
    read_manifest,
    shard_files,
)
from resnet_jax.data.sources.stored import LazySplit, StoredDataset

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
    parts = [open_shard(path, split, number, shard) for number, shard in enumerate(manifest.splits[split])]
    rows = Rows.joined([rows for _, rows in parts])
    files = [shard_files(path, split, number)[0] for number in range(len(parts))]
    return PackedSource([pixels for pixels, _ in parts], files, rows, manifest.classes, str(path), manifest.kind)
