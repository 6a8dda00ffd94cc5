"""Reads .npz archives of NumPy arrays."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from resnet_jax.weights.readers.archive import Archive
from resnet_jax.weights.readers.mapped import column_major, strided
from resnet_jax.weights.readers.weight_file import METADATA, StoredArray, WeightFile, reading

MOST_HEADER = 10_000  # bytes
MOST_GROWTH = 100  # bytes of arrays for a byte of the file
SMALL = 2**24  # bytes of arrays that a file of any size may have


def read_npz(path: Path, archive: Archive) -> WeightFile:
    """Every array of the archive: views of the file, or, of compressed ones, arrays that are read when used.

    Raises:
      UnreadableWeights: a corrupted file, arrays of objects, or sizes that a file of this size cannot have.
    """
    with reading(path, ".npz file of weights"):
        size = sum(member.file_size for member in archive.members.values())
        if size > SMALL + MOST_GROWTH * len(archive.data):
            raise ValueError(f"its {len(archive.data):,} bytes claim to hold {size:,}")
        tensors = {name.removesuffix(".npy"): _array(archive, name) for name in archive.members}
        metadata = _metadata(tensors.pop(METADATA)) if METADATA in tensors else {}
    return WeightFile(path, tensors, "npz", metadata)


def _metadata(stored: StoredArray) -> dict[str, str]:
    values = json.loads(bytes(np.asarray(stored)).decode())
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError("expected texts as metadata")
    return values


def _array(archive: Archive, name: str) -> StoredArray:
    start = archive.beginning(name, MOST_HEADER)
    file = io.BytesIO(start)
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"{name} has the unknown version {version} of NumPy's format")
    shape, is_fortran, dtype = readers[version](file)
    if dtype.hasobject or dtype.kind not in "fiubc":
        raise ValueError(f"expected numbers in {name}, got {dtype}")
    strides = column_major(shape) if is_fortran else None
    header, size = file.tell(), archive.members[name].file_size
    big_endian, plain = dtype.byteorder == ">", dtype.newbyteorder("=")
    if np.prod([int(n) for n in shape], dtype=object) * dtype.itemsize != size - header:
        raise ValueError(f"{name} has {size - header:,} bytes for {dtype} {str(shape)[:80]}")
    if not archive.is_compressed(name):
        values, verify = archive.stored(name)[header:], archive.verifier(name)
        return strided(values, plain, shape, strides, big_endian=big_endian, verify=verify)

    def read() -> np.ndarray:
        values = archive.inflated(name)[header:]
        return strided(values, plain, shape, strides, big_endian=big_endian).read()

    return StoredArray(tuple(shape), plain, read)
