"""LeCun's IDX format, as MNIST, Fashion-MNIST, KMNIST and EMNIST have it."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.limits import check_size
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.formats.arrays import UnreadSplit, as_source, stored
from resnet_jax.formats.splits import WORDS

SPLITS = {"t10k": "test", **WORDS}
FILE = re.compile(
    rf"(?:(?P<set>.+)[-_.])?(?P<split>{'|'.join(SPLITS)})[-_.](?P<kind>images|labels)[-_.]idx[13][-_.]ubyte(\.gz)?",
    re.IGNORECASE,
)
PIECE = 2**24  # bytes that are unpacked at a time


def is_idx(names: list[str]) -> bool:
    """Whether IDX files are among these."""
    return any(map(FILE.fullmatch, names))


def open_idx(path: Path, names: list[str], label_kind: LabelKind = "class") -> StoredDataset:
    """A folder of IDX files: a pair of images and labels for each split. Labels may be counted from 0 or from 1.

    Raises:
      ValueError: a file without the other of its pair, the files of several sets, or a corrupted one.
    """
    matches = {name: match for name in names if (match := FILE.fullmatch(name))}
    sets = sorted({match["set"] or "" for match in matches.values()})
    if len(sets) > 1:
        shown = ", ".join(name or "one without a name" for name in sets)
        raise ValueError(f"{path} has the IDX files of several sets: {shown}; expected one; move the others away")
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    for name, match in matches.items():
        files[SPLITS[match["split"].lower()]].setdefault(match["kind"].lower(), path / name)
    splits = {}
    for split, pair in files.items():
        if missing := {"images", "labels"} - set(pair):
            there = next(iter(pair.values()))
            raise ValueError(f"{there} has no file of {missing.pop()} beside it")
        labels = read_idx(pair["labels"])
        splits[split] = UnreadSplit(len(labels), partial(_read_split, pair["images"], labels, label_kind))
    return stored(str(path), splits)


def _read_split(file: Path, labels: np.ndarray, label_kind: LabelKind, classes: tuple[str, ...] | None) -> ArraySource:
    if label_kind != "class":
        return as_source(read_idx(file), labels, str(file), label_kind=label_kind)
    first = min(1, int(labels.min(initial=1))) if classes is None else int(classes[0])
    return as_source(read_idx(file), labels, str(file), classes, first)


def read_idx(file: Path) -> np.ndarray:
    """An IDX file of unsigned bytes, gzipped or not.

    Raises:
      ValueError: the file is corrupted, or is no such file.
    """
    if file.exists() and not file.is_file():  # a pipe would block for ever
        raise ValueError(f"{file} cannot be read: not a file")
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            return _read_idx(file, stream)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None


def _read_idx(file: Path, stream: Any) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08":
        raise ValueError(f"{file} is no IDX file of unsigned bytes: it begins with {magic.hex(' ') or 'nothing'}")
    dimensions = magic[3]
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        there, header = 4 + len(sizes), 4 + 4 * dimensions
        raise ValueError(f"{file} is truncated or corrupted: {there} bytes, and the header alone has {header}")
    if dimensions > 4:  # NumPy itself has a limit
        raise ValueError(f"{file} is corrupted: it claims to have {dimensions} dimensions; expected at most 4")
    shape = np.frombuffer(sizes, ">u4").tolist()
    # Python integers, piece by piece: a corrupted header may claim anything, and a small gzip file may hold as much.
    size, data = math.prod(shape), bytearray()
    while piece := stream.read(min(PIECE, size + 1 - len(data))):
        data += piece
        check_size(file, len(data))
    if 0 in shape or len(data) != size:
        have = f"more than {size}" if len(data) > size else str(len(data))
        raise ValueError(f"{file} is truncated or corrupted: {have} values for shape {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape)
