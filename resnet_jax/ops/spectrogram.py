"""Waveforms to spectrograms on the device: STFT, mel and log-mel spectrograms, MFCC.

Waveforms are float [N, L, C] with values in -1 to 1, spectrograms [N, frames, bands, C]: images of C channels for the
nets. `MelSettings` holds the numbers. `TORCHAUDIO` and `LIBROSA` are the definitions of these libraries' MelSpectrogram
and melspectrogram, power_to_db and MFCC, with their defaults; `replace(LIBROSA, sample_rate=16000, bands=40)` changes
some. Both take a whole batch for one sound in some versions, where the loudest example limits the range of the others;
here each example and channel has its own peak.

With `lengths` int [N], in samples, nothing behind an example's length changes a number: its padding starts there, and
its frames behind `frame_count(lengths)` are 0. A length above L counts as L.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.ops.canvas import before
from resnet_jax.ops.mel import MelScale, cosine_transform, mel_filters
from resnet_jax.types import Array, at_least_float32

Padding = Literal["reflect", "zeros", "none"]
Logarithm = Literal["decibels", "natural"]
BinSpacing = Literal["exact", "to_nyquist"]


@dataclass(frozen=True)
class MelSettings:
    """Numbers of a spectrogram, a mel spectrogram and MFCC; the defaults are torchaudio's.

    Raises:
      ValueError: a number outside of its range, or an unknown name.
    """

    sample_rate: int = 16000  # Hz
    fft_size: int = 400  # samples
    window_length: int | None = None  # samples of the Hann window, in the middle of the frame; None: fft_size
    hop: int = 200  # samples from frame to frame
    # Frame t is centred at sample t * hop, with fft_size // 2 samples of padding at both ends; "none": it starts there,
    # and only whole frames count. Short waveforms are reflected several times.
    padding: Padding = "reflect"
    power: float = 2.0  # of the magnitude: 2: energies, 1: magnitudes
    bands: int = 128
    low: float = 0.0  # Hz
    high: float | None = None  # Hz; None: half the sample rate
    scale: MelScale = "htk"
    norm: Literal["slaney"] | None = None  # of the filters: None: peaks of 1; "slaney": areas of 1
    # Frequency of bin k. "exact": k * sample_rate / fft_size. "to_nyquist": evenly from 0 to sample_rate // 2, which is
    # the same for even rates and sizes.
    bin_spacing: BinSpacing = "to_nyquist"
    # "decibels": 10 log10(max(x, floor)), and at most dynamic_range below the peak. "natural": log(x + floor).
    log: Logarithm = "decibels"
    floor: float = 1e-10
    dynamic_range: float | None = 80.0  # dB; None: no limit
    coefficients: int = 40  # of MFCC

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name in ("padding", "scale", "bin_spacing", "log"):
            if (value := getattr(self, name)) not in (choices := get_args(hints[name])):
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
        if self.norm not in (None, "slaney"):
            raise ValueError(f"norm: expected None or 'slaney', got {self.norm!r}")
        for name in ("sample_rate", "fft_size", "hop", "bands", "floor", "power"):
            _check(name, getattr(self, name), above=0)
        _check("window_length", self.window, above=0, most=self.fft_size)
        _check("coefficients", self.coefficients, above=0, most=self.bands)
        _check("high", self.highest, above=0, most=self.sample_rate / 2)
        if not 0 <= self.low < self.highest:
            raise ValueError(f"low: expected at least 0 and less than high, {self.highest:g}, got {self.low:g}")
        if self.dynamic_range is not None:
            _check("dynamic_range", self.dynamic_range, above=0)

    @property
    def window(self) -> int:
        """Samples of the window."""
        return self.fft_size if self.window_length is None else self.window_length

    @property
    def edge(self) -> int:
        """Samples of padding at each end."""
        return 0 if self.padding == "none" else self.fft_size // 2

    @property
    def highest(self) -> float:
        """The upper end of the highest band, Hz."""
        if self.high is not None:
            return self.high
        return float(self.sample_rate // 2) if self.bin_spacing == "to_nyquist" else self.sample_rate / 2


def _check(name: str, value: float, *, above: float, most: float = np.inf) -> None:
    if not above < value <= most:
        limit = f"{name}: expected more than {above:g}"
        raise ValueError(f"{limit}{'' if most == np.inf else f' and at most {most:g}'}, got {value:g}")


TORCHAUDIO = MelSettings()  # MelSpectrogram, AmplitudeToDB("power", top_db=80) and MFCC of torchaudio 2
LIBROSA = MelSettings(  # melspectrogram, power_to_db and mfcc of librosa 0.10 to 1.0
    sample_rate=22050,
    fft_size=2048,
    hop=512,
    padding="zeros",
    scale="slaney",
    norm="slaney",
    bin_spacing="exact",
    coefficients=20,
)


def frame_count(samples: Any, settings: MelSettings) -> Any:
    """Frames of waveforms of `samples`, an int or an array of them; 0 for an empty one."""
    whole = (samples + 2 * settings.edge - settings.fft_size) // settings.hop + 1
    return whole * (whole > 0) * (samples > 0)


def stft(waveforms: Array, settings: MelSettings = TORCHAUDIO, lengths: Array | None = None) -> Array:
    """Fourier coefficients of windowed frames: [N, L, C] -> complex [N, frames, fft_size // 2 + 1, C].

    Raises:
      TypeError: waveforms that are not float.
      ValueError: waveforms of another rank, or too short for one frame.
    """
    _check_waveforms(waveforms, settings)
    x = waveforms.astype(at_least_float32(waveforms.dtype))
    frames = split_frames(_pad_ends(x, settings, lengths), settings.fft_size, settings.hop)
    window = jnp.asarray(hann_window(settings.window, settings.fft_size), x.dtype)
    coefficients = jnp.fft.rfft(frames * window.reshape(1, 1, -1, 1), axis=2)
    return _zero_behind(coefficients, _frame_mask(coefficients, settings, lengths))


def spectrogram(waveforms: Array, settings: MelSettings = TORCHAUDIO, lengths: Array | None = None) -> Array:
    """Magnitudes to `settings.power`: [N, L, C] -> [N, frames, fft_size // 2 + 1, C]. Raises as `stft` does.

    The gradient of a coefficient of 0 is 0.
    """
    coefficients = stft(waveforms, settings, lengths)
    energies = coefficients.real**2 + coefficients.imag**2
    if settings.power == 2:
        return energies
    positive = energies > 0
    return jnp.where(positive, jnp.where(positive, energies, 1) ** (settings.power / 2), energies)


def mel_spectrogram(waveforms: Array, settings: MelSettings = TORCHAUDIO, lengths: Array | None = None) -> Array:
    """Sums of the spectrogram over mel bands: [N, L, C] -> [N, frames, bands, C]. Raises as `stft` does.

    A warning counts bands that are so narrow that no frequency lies in them.
    """
    magnitudes = spectrogram(waveforms, settings, lengths)
    filters = jnp.asarray(filters_of(settings), magnitudes.dtype)
    return jnp.einsum("ntfc,fb->ntbc", magnitudes, filters, precision=lax.Precision.HIGHEST)


def log_mel(waveforms: Array, settings: MelSettings = TORCHAUDIO, lengths: Array | None = None) -> Array:
    """Logarithm of the mel spectrogram: [N, L, C] -> [N, frames, bands, C]. Raises as `stft` does."""
    x = mel_spectrogram(waveforms, settings, lengths)
    mask = _frame_mask(x, settings, lengths)
    if settings.log == "natural":
        return _zero_behind(jnp.log(x + settings.floor), mask)
    # Compared and selected, because XLA may drop NaN in a maximum: see ops/activations.py.
    decibels = 10 * jnp.log10(jnp.where(x < settings.floor, settings.floor, x))
    if settings.dynamic_range is not None:
        inside = decibels if mask is None else jnp.where(mask, decibels, -jnp.inf)
        least = inside.max((1, 2), keepdims=True) - settings.dynamic_range
        decibels = jnp.where(decibels < least, least, decibels)
    return _zero_behind(decibels, mask)


def mfcc(waveforms: Array, settings: MelSettings = TORCHAUDIO, lengths: Array | None = None) -> Array:
    """Mel-frequency cepstral coefficients: [N, L, C] -> [N, frames, coefficients, C]. Raises as `stft` does.

    The orthonormal DCT-II of `log_mel` over the bands (Davis and Mermelstein 1980).
    """
    x = log_mel(waveforms, settings, lengths)
    transform = jnp.asarray(cosine_transform(settings.bands, settings.coefficients), x.dtype)
    return jnp.einsum("ntbc,bk->ntkc", x, transform, precision=lax.Precision.HIGHEST)


def hann_window(length: int, size: int) -> np.ndarray:
    """The periodic Hann window of `length` in the middle of `size` zeros, float64 [size]."""
    before = (size - length) // 2
    window = np.sin(np.pi * np.arange(length) / length) ** 2 if length > 1 else np.ones(1)
    return np.pad(window, (before, size - length - before))


def filters_of(settings: MelSettings) -> np.ndarray:
    """The mel filters of `settings`, float64 [fft_size // 2 + 1, bands]; warns of bands without a frequency."""
    count = settings.fft_size // 2 + 1
    if settings.bin_spacing == "exact":
        bins = np.arange(count) * settings.sample_rate / settings.fft_size
    else:
        bins = np.linspace(0, settings.sample_rate // 2, count)
    filters = mel_filters(
        bins, settings.bands, low=settings.low, high=settings.highest, scale=settings.scale, norm=settings.norm
    )
    if empty := int((filters.max(0) == 0).sum()):
        advice = f"expected fewer bands or a larger fft_size, got {settings.bands} and {settings.fft_size}"
        warnings.warn(f"{empty} mel bands hold no frequency and are constant: {advice}", stacklevel=3)
    return filters


def split_frames(x: Array, size: int, hop: int) -> Array:
    """Windows of `size` every `hop` samples: [N, L, C] -> [N, 1 + (L - size) // hop, size, C].

    Slices of whole hops side by side, whose gradient adds slices: a gather's would scatter.
    """
    count = 1 + (x.shape[1] - size) // hop
    parts = -(-size // hop)
    total = (count + parts - 1) * hop
    x = jnp.pad(x, ((0, 0), (0, max(0, total - x.shape[1])), (0, 0)))[:, :total]
    hops = x.reshape(x.shape[0], -1, hop, x.shape[2])
    return jnp.concatenate([hops[:, part : part + count] for part in range(parts)], axis=2)[:, :, :size]


def _check_waveforms(waveforms: Array, settings: MelSettings) -> None:
    got = f"{waveforms.dtype} {list(waveforms.shape)}"
    if not jnp.issubdtype(waveforms.dtype, jnp.floating):
        hint = "; divide by 32768" if waveforms.dtype == jnp.int16 else ""
        raise TypeError(f"expected waveforms float [N, L, C] with values in -1 to 1, got {got}{hint}")
    if waveforms.ndim != 3:
        hint = "; waveforms[..., None] has one channel" if waveforms.ndim == 2 else ""
        raise ValueError(f"expected waveforms float [N, L, C], got {got}{hint}")
    if not frame_count(waveforms.shape[1], settings):
        least = settings.fft_size if settings.padding == "none" else 1
        raise ValueError(f"expected waveforms of at least {least} samples, got {waveforms.shape[1]}")


def _pad_ends(x: Array, settings: MelSettings, lengths: Array | None) -> Array:
    """[N, L, C] with padding before it and behind each length: [N, L + 2 * edge, C]."""
    length, edge = x.shape[1], settings.edge
    lengths = None if lengths is None else jnp.minimum(lengths, length)
    if settings.padding != "reflect" or lengths is None:
        if lengths is not None:
            x = _zero_behind(x, before(lengths, length)[:, :, None])
        mode = "reflect" if settings.padding == "reflect" else "constant"
        return jnp.pad(x, ((0, 0), (edge, edge), (0, 0)), mode=mode)
    last = jnp.maximum(lengths, 1)[:, None] - 1
    period = jnp.maximum(2 * last, 1)
    phase = jnp.abs(jnp.arange(-edge, length + edge))[None] % period
    reflected = jnp.take_along_axis(x, jnp.minimum(phase, period - phase)[:, :, None], axis=1)
    inside = before(jnp.where(lengths > 0, lengths + 2 * edge, 0), length + 2 * edge)
    return _zero_behind(reflected, inside[:, :, None])


def _frame_mask(x: Array, settings: MelSettings, lengths: Array | None) -> Array | None:
    """Which frames lie within `lengths`: bool [N, frames, 1, 1]; None: all of them."""
    if lengths is None:
        return None
    return before(frame_count(lengths, settings), x.shape[1])[:, :, None, None]


def _zero_behind(x: Array, mask: Array | None) -> Array:
    return x if mask is None else jnp.where(mask, x, jnp.zeros((), x.dtype))
