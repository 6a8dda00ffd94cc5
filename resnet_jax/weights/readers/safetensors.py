"""Reads .safetensors files, mapped into memory."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers.mapped import map_file, strided
from resnet_jax.weights.readers.weight_file import StoredArray, WeightFile

MOST_HEADER = 100_000_000  # bytes, as the format allows
DTYPES = {
    "BOOL": np.bool_,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E8M0": ml_dtypes.float8_e8m0fnu,
    "BF16": ml_dtypes.bfloat16,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "C64": np.complex64,
    **{f"{letter}{bits}": f"{kind}{bits // 8}" for letter, kind in ("Ii", "Uu") for bits in (8, 16, 32, 64)},
}


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins so is one: the length of a header, and the header."""
    return start[8:9] == b"{"


def read_safetensors(path: Path) -> WeightFile:
    """Every array of the file, as a view of it.

    Raises:
      UnreadableWeights: a corrupted file.
    """
    data = map_file(path)
    try:
        header, values = _header(data)
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
            raise ValueError("expected names and values of text in __metadata__")
        tensors = {name: _entry(name, entry, values) for name, entry in header.items()}
        _check_ranges(header, len(values))
    except (ValueError, RecursionError) as error:
        raise UnreadableWeights(f"{path.name} is not a valid .safetensors file: {error}") from None
    return WeightFile(path, tensors, "safetensors", metadata)


def _header(data: memoryview) -> tuple[dict[str, Any], memoryview]:
    """The header, and the bytes behind it."""
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if length > MOST_HEADER:
        raise ValueError(f"header too large: {length:,} bytes")
    if not 2 <= length <= len(data) - 8:
        raise ValueError(f"expected a header of {length:,} bytes in a file of {len(data):,}")
    header = json.loads(bytes(data[8 : 8 + length]).decode(), object_pairs_hook=_without_duplicates)
    if not isinstance(header, dict):
        raise ValueError("expected an object as header")
    return header, data[8 + length :]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has two entries named {next(name for name in names if names.count(name) > 1)!r}")
    return entries


def _entry(name: str, entry: Any, values: memoryview) -> StoredArray:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"expected dtype, shape and data_offsets for {name!r}")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise ValueError(f"{name!r} has the unknown type {kind!r}")
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(n) is int for n in offsets)):
        raise ValueError(f"expected two whole numbers as data_offsets of {name!r}")
    begin, end = offsets
    if not 0 <= begin <= end <= len(values):
        raise ValueError(f"{name!r} reaches beyond the file: bytes {begin:,} to {end:,} of {len(values):,}")
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
        raise ValueError(f"{name!r} has the shape {str(shape)[:80]}")
    dtype = np.dtype(DTYPES[kind])
    size = dtype.itemsize
    for n in shape:
        size *= n
    if size != end - begin:
        raise ValueError(f"{name!r} has {end - begin:,} bytes; expected {size:,} for its shape {str(shape)[:80]}")
    return strided(values[begin:end], dtype, shape)


def _check_ranges(header: dict[str, Any], length: int) -> None:
    """Raises ValueError unless the arrays' ranges follow each other and fill the file."""
    end = 0
    for (begin, stop), name in sorted((entry["data_offsets"], name) for name, entry in header.items()):
        if begin != end:
            problem = "overlaps another array" if begin < end else f"begins {begin - end:,} bytes behind the last one"
            raise ValueError(f"{name!r} {problem}")
        end = stop
    if end != length:
        raise ValueError(f"its arrays end at byte {end:,} of {length:,}")
