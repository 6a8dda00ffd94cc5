"""Reads files that PyTorch wrote before 1.6: pickles in a row, then the values of every storage. No code is run."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from resnet_jax.weights.readers import pickles
from resnet_jax.weights.readers.mapped import map_file
from resnet_jax.weights.readers.torch_pickle import Storage, StorageId, is_allowed, read_contents, storage_id
from resnet_jax.weights.readers.weight_file import WeightFile, reading

MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # of the first pickle, after its protocol
PROTOCOL = 1001


def is_torch_legacy(start: bytes) -> bool:
    """Whether a file that begins so is one."""
    return start[:1] == b"\x80" and start[2:].startswith(MAGIC)


def read_torch_legacy(path: Path) -> WeightFile:
    """Every tensor in the state dict of a file, as views of the file.

    Raises:
      UnreadableWeights: a corrupted file, or contents other than tensors in dicts.
    """
    data = map_file(path)
    with reading(path, "PyTorch state dict"):
        protocol, place, _ = pickles.load(data, 2 + len(MAGIC), is_allowed)
        if protocol != PROTOCOL:
            raise ValueError(f"expected protocol {PROTOCOL} of PyTorch's files, got {str(protocol)[:20]}")
        _, place, _ = pickles.load(data, place, is_allowed)  # the machine; values are little-endian
        tree, place, references = pickles.load(data, place, is_allowed)
        keys, place, _ = pickles.load(data, place, is_allowed)
        storages = _storages(data, place, keys, _identifiers(references))
        tensors, metadata = read_contents(tree, lambda identifier: storages[identifier.key])
    return WeightFile(path, tensors, "torch before 1.6", metadata)


def _identifiers(references: list[pickles.Record]) -> dict[str, StorageId]:
    """What the pickle says of each storage, by its name."""
    identifiers: dict[str, StorageId] = {}
    for identifier in map(storage_id, references):
        whole = identifier._replace(view=None)
        if identifiers.setdefault(whole.key, whole) != whole:
            raise ValueError(f"storage {whole.key!r} has two types or sizes")
    return identifiers


def _storages(data: memoryview, place: int, keys: Any, identifiers: dict[str, StorageId]) -> dict[str, Storage]:
    """The values of each storage. They follow each other from `place` on: a number of values, and the values."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(keys):
        raise ValueError("expected a list of different names of storages")
    if set(keys) != set(identifiers):
        raise ValueError("its storages are not those of its tensors")
    storages = {}
    for key in keys:
        if place + 8 > len(data):
            raise ValueError(f"the file is truncated before storage {key!r}")
        length = struct.unpack("<q", data[place : place + 8])[0]
        size, place = length * identifiers[key].dtype.itemsize, place + 8
        if length != identifiers[key].length or size > len(data) - place:
            raise ValueError(f"storage {key!r} has {length:,} values by its header; the file is truncated or corrupted")
        storages[key] = Storage(data[place : place + size])
        place += size
    return storages
