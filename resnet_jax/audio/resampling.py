"""Sample rates. The only file that imports scipy."""

from __future__ import annotations

import math

import numpy as np

from resnet_jax.extras import extra

with extra():
    from scipy.signal import firwin, resample_poly

# A windowed sinc of 2 * ZEROS zero crossings, with a Kaiser window: 80 dB less of what the new rate cannot hold, and
# nothing less below 0.92 of the lower Nyquist frequency.
ZEROS = 64
BETA = 8.0
ROLLOFF = 0.96  # cutoff, as a share of the lower of the two Nyquist frequencies


def resample(samples: np.ndarray, sample_rate: int, new_rate: int) -> np.ndarray:
    """Waveforms float [L, C] at another sample rate, float [ceil(L * new_rate / sample_rate), C] of the same type.

    Sample k of the result is at the time k / new_rate of the waveform. What lies above the new Nyquist frequency is
    removed, with zeros assumed before and behind the waveform.

    Raises:
      TypeError: samples that are not float.
      ValueError: a rate below 1.
    """
    if not np.issubdtype(samples.dtype, np.floating):
        raise TypeError(f"expected samples float [L, C], got {samples.dtype} {list(samples.shape)}")
    if min(sample_rate, new_rate) < 1:
        raise ValueError(f"expected sample rates of at least 1 Hz, got {sample_rate} and {new_rate}")
    if sample_rate == new_rate or not len(samples):
        return samples
    divisor = math.gcd(sample_rate, new_rate)
    up, down = new_rate // divisor, sample_rate // divisor
    slower = max(up, down)
    window = firwin(2 * ZEROS * slower + 1, ROLLOFF / slower, window=("kaiser", BETA)).astype(samples.dtype)
    return resample_poly(samples, up, down, axis=0, window=window)
