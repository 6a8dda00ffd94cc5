"""Packed sets: images as uint8 pixels in memory-mapped files, which `resnet-jax prepare` writes.

A folder has `packed.json`, written last, and for every split some shards: `SPLIT-00000.pixels`, the pixels [H, W, C] of
its images one after the other, and `SPLIT-00000.npz`, a row for each of them. Images have different sizes: random
resized crops are cut from the whole image.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.data.sources.identity import Identity
from resnet_jax.data.sources.label_kinds import Label, label_of
from resnet_jax.errors import DataError, UnreadableImage, one_line
from resnet_jax.files import replace_file

FORMAT = 1
MANIFEST = "packed.json"
PLAN = "packing.json"  # of a set that is not complete


@dataclass(frozen=True, eq=False)
class Rows:
    """A row for each image of some shards: arrays [n] and more."""

    shard: np.ndarray  # int32: its place in the list of shards
    start: np.ndarray  # int64: the first byte
    shape: np.ndarray  # int32 [n, 3]: height, width, channels
    crc: np.ndarray  # uint32: CRC-32 of the pixels
    label: np.ndarray  # int32 or float32 [n, K]
    title: np.ndarray  # bytes: the name in messages, UTF-8
    fingerprint: np.ndarray  # uint64: of the set that was packed; see `Identity`
    name_and_size: np.ndarray  # uint64: fingerprints of the kind "names"; `fingerprint` where there were no files
    name: np.ndarray  # uint64: of the same identity
    code: np.ndarray  # int32: its labels

    def __len__(self) -> int:
        return len(self.start)

    def take(self, index: np.ndarray) -> Rows:
        return Rows(*(getattr(self, one.name)[index] for one in fields(self)))

    @staticmethod
    def joined(parts: Sequence[Rows]) -> Rows:
        return Rows(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Rows)))


@dataclass(frozen=True, eq=False)
class PackedSource:
    """A split of a packed set. Its examples are pixels, of which only what is used is read from the disk."""

    pixels: Sequence[np.ndarray]  # of each shard: uint8, flat
    files: Sequence[Path]  # of each shard
    rows: Rows
    classes: tuple[str, ...]
    folder: str
    kind: str  # of the identity: "contents" or "places"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Label]:
        return self._pixels(index), label_of(self.labels, index)

    @property
    def labels(self) -> np.ndarray:
        """int32 [n] or float32 [n, K]."""
        return self.rows.label

    def name(self, index: int) -> str:
        return f"{self.folder}, {self.rows.title[index].decode(errors='surrogateescape')}"

    def take(self, index: np.ndarray) -> PackedSource:
        """The examples at `index`, int [n]."""
        return replace(self, rows=self.rows.take(index))

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        """That of the images that were packed: a run on them and a run on this set know each other's images."""
        rows = self.rows.take(index)
        if kind == "names" and self.kind == "contents":
            return Identity(kind, rows.name_and_size, rows.name, rows.code)
        return Identity(self.kind, rows.fingerprint, rows.name, rows.code)

    def check(self, index: int) -> None:
        """Raises UnreadableImage if the pixels differ from those that were written."""
        if zlib.crc32(self._pixels(index).tobytes()) != self.rows.crc[index]:
            raise UnreadableImage(f"{self.name(index)}: the pixels differ from their checksum; {again(self.folder)}")

    def _pixels(self, index: int) -> np.ndarray:
        shard = int(self.rows.shard[index])
        self._check_size(shard)
        height, width, channels = self.rows.shape[index].tolist()
        start = int(self.rows.start[index])
        flat = self.pixels[shard][start : start + height * width * channels]
        return flat.reshape(height, width, channels)

    def _check_size(self, shard: int) -> None:
        """Raises DataError if a shard has become shorter: a read behind the end of a mapped file kills the process."""
        file, expected = self.files[shard], len(self.pixels[shard])
        try:
            size = os.stat(file).st_size
        except OSError:  # what is mapped outlives the name of its file
            return
        if size < expected:
            raise DataError(f"{file} was cut: expected {expected:,} bytes, got {size:,}; {again(self.folder)}")


@dataclass(frozen=True)
class Shard:
    """A shard as the manifest lists it."""

    images: int
    bytes: int  # of its pixels
    sha256: str  # of its rows


@dataclass(frozen=True)
class Manifest:
    """Contents of a complete packed set."""

    size: int  # shorter side of larger images, pixels
    interpolation: str
    label_kind: str
    source: str  # what was packed
    classes: tuple[str, ...]
    fixed: bool  # as `Dataset.fixed` of the source
    kind: str  # of its identity
    notes: tuple[str, ...]
    unlabelled: Mapping[str, str]
    plan: Mapping[str, Any]
    splits: Mapping[str, tuple[Shard, ...]]

    def count(self, split: str) -> int:
        return sum(shard.images for shard in self.splits[split])


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Makes a packed set complete. Raises OSError if it cannot be written."""
    record = {"format": FORMAT} | asdict(manifest)
    replace_file(folder / MANIFEST, json.dumps(record | {"sha256": _digest(record)}, indent=1))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a packed set.

    Raises:
      ValueError: it is corrupted, or of a newer version of this package.
    """
    file = folder / MANIFEST
    try:
        record = json.loads(file.read_bytes())
        digest, version = record.pop("sha256"), record.pop("format")
        if digest != _digest({"format": version} | record):
            raise ValueError("its contents differ from its checksum")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{file} is corrupted ({one_line(error)}); {again(folder)}") from None
    if version != FORMAT:
        raise ValueError(f"{file}: expected format {FORMAT}, got {version}; a newer version of this package reads it")
    record["splits"] = {split: tuple(Shard(**shard) for shard in shards) for split, shards in record["splits"].items()}
    record |= {name: tuple(record[name]) for name in ("classes", "notes")}
    return Manifest(**record)


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def shard_files(folder: Path, split: str, number: int) -> tuple[Path, Path]:
    """Files of the pixels and of the rows of a shard."""
    name = f"{split}-{number:05d}"
    return folder / f"{name}.pixels", folder / f"{name}.npz"


def read_rows(file: Path, number: int) -> Rows:
    """The rows of shard `number`. Raises ValueError or OSError for a corrupted file."""
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
        shape = arrays["shape"]
        ends = np.cumsum(shape.astype(np.int64).prod(1))
        start, shard = np.append(0, ends)[: len(shape)], np.full(len(shape), number, np.int32)
        return Rows(shard, start, shape, *(arrays[one.name] for one in fields(Rows)[3:]))


def open_shard(folder: Path, split: str, number: int, shard: Shard) -> tuple[np.ndarray, Rows]:
    """The pixels, memory-mapped, and rows of a shard. Raises ValueError for files that are missing or corrupted."""
    pixels, index = shard_files(folder, split, number)
    try:
        if index.exists() and not index.is_file():  # reading a pipe would wait for ever
            raise ValueError("it is no file")
        if hashlib.sha256(index.read_bytes()).hexdigest() != shard.sha256:
            raise ValueError("it differs from its checksum")
        rows = read_rows(index, number)
    except (OSError, ValueError) as error:
        raise ValueError(f"{index} is corrupted ({one_line(error)}); {again(folder)}") from None
    there = pixels.stat().st_size if pixels.is_file() else 0
    if there != shard.bytes or len(rows) != shard.images:
        raise ValueError(f"{pixels} is corrupted: expected {shard.bytes:,} bytes, got {there:,}; {again(folder)}")
    flat = np.asarray(np.memmap(pixels, np.uint8, "r")) if there else np.empty(0, np.uint8)  # no map has 0 bytes
    return flat, rows


def again(folder: str | Path) -> str:
    """The remedy for a corrupted set, for a message: `prepare` changes no set that is complete."""
    return f"remove {folder} and prepare the set again"
