"""Samples as a WAV file, for data sets that store sounds as numbers."""

from __future__ import annotations

import struct

import numpy as np

PCM, FLOAT = 1, 3  # WAV's codes of formats
LIMIT_16 = 2**15


def wav_file(samples: np.ndarray, sample_rate: int) -> bytes:
    """A WAV file of samples [L] or [L, C] without loss: of 16 or 32 bits, or float32.

    Whole numbers of any type are of 16 bits where they fit, as data sets with int64 have them, and else of 32.

    Raises:
      ValueError: samples of another shape or type, or whole numbers beyond 32 bits.
    """
    values = samples[:, None] if samples.ndim == 1 else samples
    if values.ndim != 2 or not values.shape[1] or values.dtype.kind not in "iuf":
        raise ValueError(f"expected numbers [L] or [L, C], got {samples.dtype} {list(samples.shape)}")
    if values.dtype.kind == "f":
        code, stored = FLOAT, values.astype("<f4")
    else:
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        if low < -(2**31) or high >= 2**31:
            raise ValueError(f"expected samples of at most 32 bits, got {low} to {high}")
        code, stored = PCM, values.astype("<i2" if -LIMIT_16 <= low and high < LIMIT_16 else "<i4")
    size, channels = stored.dtype.itemsize, stored.shape[1]
    form = struct.pack("<HHIIHH", code, channels, sample_rate, sample_rate * channels * size, channels * size, 8 * size)
    data = stored.tobytes()
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
