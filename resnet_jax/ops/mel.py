"""Mel filters and the cosine transform: float64 NumPy arrays, which are constants of a compiled program."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

MelScale = Literal["htk", "slaney"]
Frequencies = float | np.ndarray  # hertz or mel

# Slaney 1998, "Auditory Toolbox": lines up to 1 kHz, logarithms above it.
SLANEY_HERTZ_PER_MEL = 200 / 3
SLANEY_CORNER = 1000.0  # Hz
SLANEY_CORNER_MEL = SLANEY_CORNER / SLANEY_HERTZ_PER_MEL
SLANEY_LOG_STEP = math.log(6.4) / 27


def hertz_to_mel(hertz: Frequencies, scale: MelScale) -> np.ndarray:
    """Frequencies in mel: 2595 log10(1 + f / 700) ("htk", O'Shaughnessy 1987), or Slaney's scale."""
    hertz = np.asarray(hertz, np.float64)
    if scale == "htk":
        return 2595 * np.log10(1 + hertz / 700)
    above = SLANEY_CORNER_MEL + np.log(np.maximum(hertz, SLANEY_CORNER) / SLANEY_CORNER) / SLANEY_LOG_STEP
    return np.where(hertz >= SLANEY_CORNER, above, hertz / SLANEY_HERTZ_PER_MEL)


def mel_to_hertz(mel: Frequencies, scale: MelScale) -> np.ndarray:
    """The inverse of `hertz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    above = SLANEY_CORNER * np.exp(SLANEY_LOG_STEP * (np.maximum(mel, SLANEY_CORNER_MEL) - SLANEY_CORNER_MEL))
    return np.where(mel >= SLANEY_CORNER_MEL, above, mel * SLANEY_HERTZ_PER_MEL)


def mel_filters(
    bins: np.ndarray,
    bands: int,
    *,
    low: float,
    high: float,
    scale: MelScale = "htk",
    norm: Literal["slaney"] | None = None,
) -> np.ndarray:
    """Triangular filters [len(bins), bands], evenly spaced and of equal width in mel between `low` and `high` Hz.

    A filter rises from the centre of the band below it to its own, and falls to the centre of the band above.

    Args:
      bins: frequencies of the Fourier coefficients, Hz.
      norm: None: the peak of a filter is 1; "slaney": its area is 1 over hertz.
    """
    corners = mel_to_hertz(np.linspace(hertz_to_mel(low, scale), hertz_to_mel(high, scale), bands + 2), scale)
    widths = np.diff(corners)
    distances = corners[None] - bins[:, None]
    filters = np.maximum(0, np.minimum(-distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]))
    return filters * (2 / (corners[2:] - corners[:-2])) if norm == "slaney" else filters


def cosine_transform(bands: int, coefficients: int) -> np.ndarray:
    """The first `coefficients` columns of the orthonormal DCT-II: [bands, coefficients], to multiply rows by."""
    angles = np.pi / bands * (np.arange(bands)[:, None] + 0.5) * np.arange(coefficients)
    scales = np.full(coefficients, math.sqrt(2 / bands))
    scales[:1] = math.sqrt(1 / bands)
    return np.cos(angles) * scales
