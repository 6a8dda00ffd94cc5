"""Reads Keras's .h5 and .weights.h5 files. h5py is an optional package, which this file alone imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.errors import UnreadableWeights, one_line
from resnet_jax.extras import extra
from resnet_jax.weights.readers.mapped import map_file, strided
from resnet_jax.weights.readers.weight_file import StoredArray, WeightFile, reading

START = b"\x89HDF\r\n\x1a\n"
MOST_NESTING = 30  # groups in groups
MOST_GROWTH = 100  # bytes of an array for a byte in the file
MOST_METADATA = 1000  # bytes of a text


def is_hdf5(start: bytes) -> bool:
    """Whether a file that begins so is one."""
    return start.startswith(START)


def read_hdf5(path: Path) -> WeightFile:
    """Every array of the file by its path in it, and the groups' attributes that are texts as metadata.

    Arrays that lie in one piece are views of the file; others are read when they are used.

    Raises:
      MissingExtra: h5py is not installed.
      UnreadableWeights: a corrupted file, links, or arrays in other files.
    """
    with extra():
        import h5py

    tensors: dict[str, StoredArray] = {}
    metadata: dict[str, str] = {}
    with reading(path, "HDF5 file of weights"):
        file, data = h5py.File(path, "r"), map_file(path)
        groups = [("", file, 0)]
        while groups:
            prefix, group, depth = groups.pop()
            metadata |= {f"{prefix}{name}": value for name, value in _texts(group).items()}
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise ValueError(f"{prefix}{name} is a link")
                entry = group[name]
                if isinstance(entry, h5py.Dataset):
                    tensors[f"{prefix}{name}"] = _array(f"{prefix}{name}", entry, data, path)
                elif not isinstance(entry, h5py.Group) or depth > MOST_NESTING:
                    raise ValueError(f"{prefix}{name} is neither a group nor an array, or nested too deep")
                else:
                    groups.append((f"{prefix}{name}/", entry, depth + 1))
    return WeightFile(path, tensors, "hdf5", metadata)


def _texts(group: Any) -> dict[str, str]:
    values = {name: group.attrs[name] for name in group.attrs}
    values = {name: x.decode() if isinstance(x, bytes) else x for name, x in values.items()}
    return {name: x for name, x in values.items() if isinstance(x, str) and len(x) <= MOST_METADATA}


def _array(name: str, dataset: Any, data: memoryview, path: Path) -> StoredArray:
    """A view of a dataset in one piece, or a dataset in chunks that is read when it is used."""
    dtype, stored = dataset.dtype, dataset.id.get_storage_size()
    if dtype.hasobject or dtype.kind not in "fiub":
        raise ValueError(f"expected numbers in {name}, got {dtype}")
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"the values of {name} are in another file")
    if dataset.nbytes > MOST_GROWTH * min(stored, len(data)):
        raise ValueError(f"{name} claims {dataset.nbytes:,} bytes, and has {stored:,} in the file")
    plain = dtype.newbyteorder("=")
    place = dataset.id.get_offset()  # None: in chunks
    if place is not None and not dataset.compression:
        values = data[place : place + dataset.nbytes]
        return strided(values, plain, dataset.shape, big_endian=dtype.byteorder == ">")

    def read() -> np.ndarray:
        try:
            return dataset[()].astype(plain, copy=False)
        except OSError as error:
            raise UnreadableWeights(f"{path.name}: {name} is corrupted: {one_line(error)}") from None

    return StoredArray(dataset.shape, plain, read)
