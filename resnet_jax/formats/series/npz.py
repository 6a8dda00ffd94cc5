"""NumPy archives of series: [n, L] or [n, L, C], with NaN behind shorter ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnet_jax.formats.npz import array_names, array_pairs, read_array
from resnet_jax.formats.series.series_source import Example, SeriesFile


def read_npz(path: Path) -> dict[str, SeriesFile]:
    """The series of each split, training first: x_train with y_train, and so on, or x with y.

    Raises:
      ValueError: a corrupted file, no such arrays, or arrays that do not fit.
    """
    return {split: _read(path, x, y) for split, (x, y) in array_pairs(path, array_names(path)).items()}


def _read(path: Path, x: str, y: str) -> SeriesFile:
    values, labels = read_array(path, x), read_array(path, y)
    if not (np.issubdtype(values.dtype, np.number) and values.ndim in (2, 3)) or np.iscomplexobj(values):
        raise ValueError(f"{path}, {x}: expected numbers [n, L] or [n, L, C], got {values.dtype} {list(values.shape)}")
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != values.shape[:1]:
        raise ValueError(f"{path}, {y}: expected {len(values)} labels, one per series of {x}, got {list(labels.shape)}")
    values = values[..., None] if values.ndim == 2 else values
    examples = [
        Example(f"series {place} of {x}", str(label), one.astype(np.float64))
        for place, (one, label) in enumerate(zip(values, labels.tolist(), strict=True))
    ]
    return SeriesFile(str(path), examples)
