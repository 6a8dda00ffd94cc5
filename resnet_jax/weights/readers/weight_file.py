"""What every reader returns: the arrays of a file of weights, read when they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.errors import UnreadableWeights, one_line

METADATA = "__metadata__"  # the array of bytes in an .npz file that holds texts by name, as JSON


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array in a file. `numpy.asarray(stored)` reads it, as a view of the mapped file where that is possible.

    Type and shape are known before; types that NumPy lacks (bfloat16, float8) are those of ml_dtypes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]  # raises UnreadableWeights

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.read()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array


@dataclass(frozen=True)
class WeightFile:
    """Arrays in a file of weights, by their names in it. Entries of nested dicts have names joined by dots."""

    path: Path
    tensors: Mapping[str, StoredArray]
    format: str  # "safetensors", "torch", "torch before 1.6", "torchscript", "npz", "pickle", "hdf5" or "checkpoint"
    metadata: Mapping[str, str] = field(default_factory=dict)  # other values in the file: an architecture, an epoch


@contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Raises UnreadableWeights, "NAME is not a valid EXPECTED: ...", for whatever the contents of a file raise."""
    try:
        yield
    except UnreadableWeights:
        raise
    except Exception as error:  # a corrupted file can raise anything
        raise UnreadableWeights(f"{path.name} is not a valid {expected}: {one_line(error)}") from error
