"""Arrays as views of a file that is mapped into memory: nothing is copied, and pages are read when they are used."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from resnet_jax.weights.readers.weight_file import StoredArray

MOST_DIMENSIONS = 32  # NumPy 1 has no more


def map_file(path: Path) -> memoryview:
    """The bytes of a file, read only; an empty file has none. They stay valid while a view of them exists."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def strided(
    data: memoryview,
    dtype: np.dtype,
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
    offset: int = 0,
    *,
    big_endian: bool = False,
    verify: Callable[[], None] | None = None,
) -> StoredArray:
    """A view of values in `data`, with an offset and strides in values; strides of None: in row-major order.

    Args:
      verify: called before values are read; raises UnreadableWeights.

    Raises:
      ValueError: a shape that is not one, or a view that reaches beyond the data.
    """
    strides = row_major(shape) if strides is None else strides
    if not all(type(n) is int for n in (offset, *shape, *strides)) or len(shape) != len(strides):
        raise ValueError("expected whole numbers in a tensor's shape")
    if len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"expected at most {MOST_DIMENSIONS} dimensions, got {len(shape)}")
    values, count = len(data) // dtype.itemsize, math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    # Strides of 0 would make a tensor of any size from one value, and sizes beside a 0 can be those of no array.
    if min((offset, *shape, *strides)) < 0 or _nonzero_size(shape) > max(values, 2**40) or count > values:
        raise ValueError(f"a tensor reaches beyond its storage of {values} values")
    if count and last >= values:
        raise ValueError(f"a tensor reaches beyond its storage of {values} values")
    steps = [step * dtype.itemsize if count else 0 for step in strides]

    def read() -> np.ndarray:
        if verify is not None:
            verify()
        if not count:
            return np.zeros(shape, dtype)
        flat = np.frombuffer(data, np.uint8, values * dtype.itemsize)[offset * dtype.itemsize :]
        array = np.ndarray(shape, dtype, flat, 0, steps)
        array.flags.writeable = False
        return _swapped(array) if big_endian else array

    return StoredArray(tuple(shape), dtype, read)


def row_major(shape: Sequence[int]) -> list[int]:
    """Strides, in values, of an array whose last index changes fastest."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def column_major(shape: Sequence[int]) -> list[int]:
    """Strides, in values, of an array whose first index changes fastest, as in Fortran."""
    return row_major(shape[::-1])[::-1]


def _nonzero_size(shape: Sequence[int]) -> int:
    return math.prod(n for n in shape if n)


def _swapped(array: np.ndarray) -> np.ndarray:
    """A copy with the bytes of every value in the other order. ml_dtypes have no byte order of their own."""
    words = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)
    copied = np.ascontiguousarray(array).reshape(array.shape)
    return copied.view(f"u{words}").byteswap().view(array.dtype).reshape(array.shape)
