"""Sounds as inputs of a net: waveforms, log-mel spectrograms or MFCC."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import DataError
from resnet_jax.inputs.protocol import BaseSequence, fitted
from resnet_jax.ops.canvas import before
from resnet_jax.ops.spectrogram import LIBROSA, TORCHAUDIO, MelSettings, frame_count, log_mel, mfcc
from resnet_jax.types import Array, Batch, DataKind

FrontEndName = Literal["waveform", "log_mel", "mfcc"]
# Added to the deviation of a band, times 1 + |mean|: the rounding of a silent one stays near 0.
SMALLEST = 1e-5


@dataclass(frozen=True)
class AudioPreprocess(BaseSequence):
    """Sounds -> waveforms [N, L, 1] in -1 to 1, or spectrograms [N, frames, bands, 1].

    Spectrograms have the natural logarithm of energies. "each" normalises every example, per band, to mean 0 and
    deviation 1 over its frames (waveforms: over its samples); "train" by one mean and deviation of the training
    spectrograms; "none" leaves them.
    """

    sample_rate: int = 16000  # Hz; files with another are resampled
    seconds: float | None = None  # of every clip, which is cut or padded with silence; None: its own length
    front_end: FrontEndName = "log_mel"
    window: float = 0.025  # seconds of a frame
    hop: float = 0.01  # seconds from frame to frame
    bands: int = 64
    coefficients: int = 40  # of MFCC
    low: float = 0.0  # Hz
    high: float | None = None  # Hz; None: half the sample rate
    convention: Literal["torchaudio", "librosa"] = "torchaudio"  # of mel filters and padding; see `ops.spectrogram`
    normalise: Literal["each", "train", "none"] = "none"
    mean: float = 0.0  # with "train"
    std: float = 1.0

    kind: ClassVar[DataKind] = "audio"

    def __post_init__(self) -> None:
        """Raises ValueError for waveforms normalised by training spectrograms."""
        if self.front_end == "waveform" and self.normalise == "train":
            raise ValueError("normalise: expected each or none for waveforms, got train, which is for spectrograms")

    @cached_property
    def settings(self) -> MelSettings:
        """The numbers of the spectrogram. Raises ValueError for impossible ones."""
        window = round(self.window * self.sample_rate)
        base = TORCHAUDIO if self.convention == "torchaudio" else LIBROSA
        return replace(
            base,
            sample_rate=self.sample_rate,
            fft_size=1 << max(0, window - 1).bit_length(),
            window_length=window,
            hop=round(self.hop * self.sample_rate),
            bands=self.bands,
            coefficients=self.coefficients if self.front_end == "mfcc" else 1,
            low=self.low,
            high=self.high,
            log="natural",
            floor=1e-6,
        )

    @property
    def fixed_length(self) -> int | None:
        return None if self.seconds is None else max(1, round(self.seconds * self.sample_rate))

    def read(self, item: Any, name: str) -> np.ndarray:
        """A file's path or bytes, or samples float [l] or [l, 1] at the sample rate -> float32 [l, 1].

        Raises:
          DataError: a broken file, or an array of another shape; MissingExtra: soundfile is not installed.
        """
        if isinstance(item, str | Path | bytes):
            from resnet_jax.audio.files import read_audio

            return read_audio(item, sample_rate=self.sample_rate, name=name).samples
        return _samples(item, name)

    def length(self, item: Any, name: str) -> int:
        if self.fixed_length is not None:
            return self.fixed_length
        if not isinstance(item, str | Path | bytes):
            return len(_samples(item, name))
        from resnet_jax.audio.files import read_audio_header

        header = read_audio_header(item, name=name)
        return -(-header.samples * self.sample_rate // header.sample_rate)

    @staticmethod
    def measure(item: str | Path | bytes, name: str) -> tuple[float, int]:
        """Seconds and sample rate of a file as it is, without decoding it. Raises as `read` does."""
        from resnet_jax.audio.files import read_audio_header

        header = read_audio_header(item, name=name)
        return header.samples / header.sample_rate, header.sample_rate

    def prepare(self, batch: Batch) -> Batch:
        x, lengths = batch["image"], batch.get("lengths")
        if self.front_end == "waveform":
            return batch if self.normalise != "each" else {**batch, "image": _each(x, lengths)}
        x = (log_mel if self.front_end == "log_mel" else mfcc)(x, self.settings, lengths)
        lengths = None if lengths is None else frame_count(lengths, self.settings)
        if self.normalise == "each":
            x = _each(x, lengths)
        elif self.normalise == "train":
            x = _zero_behind((x - self.mean) / self.std, lengths)
        return {**batch, "image": x} if lengths is None else {**batch, "image": x, "lengths": lengths}

    def of_sounds(self, waveforms: Iterable[np.ndarray]) -> AudioPreprocess:
        """This preprocessing with mean and deviation of the spectrograms of training waveforms [l, 1].

        Raises:
          ValueError: no waveform.
        """
        if self.normalise != "train":
            return self
        plain = replace(self, normalise="none")
        spectrogram = jax.jit(lambda x, lengths: plain.prepare({"image": x, "lengths": lengths}))
        sums = np.zeros(3)
        for waveform in waveforms:
            length = 1 << max(len(waveform), 1).bit_length()  # few lengths are compiled
            batch = spectrogram(fitted(waveform, length, None)[None], np.array([len(waveform)], np.int32))
            x = np.asarray(batch["image"][0, : int(batch["lengths"][0])], np.float64)
            sums += x.size, x.sum(), np.square(x).sum()
        if not sums[0]:
            raise ValueError("expected at least one waveform, got none")
        mean = sums[1] / sums[0]
        return replace(self, mean=float(mean), std=math.sqrt(max(sums[2] / sums[0] - mean**2, 0)) or 1.0)

    def adopt(self, trained: AudioPreprocess) -> AudioPreprocess:
        return replace(trained, seconds=self.seconds)

    def spatial_shape(self, length: int) -> tuple[int, ...]:
        if self.front_end == "waveform":
            return (length,)
        bands = self.bands if self.front_end == "log_mel" else self.settings.coefficients
        return (int(frame_count(length, self.settings)), bands)

    def model_options(self) -> dict[str, Any]:
        return {"in_channels": 1}


def _samples(item: Any, name: str) -> np.ndarray:
    samples = np.asarray(item)
    samples = samples[:, None] if samples.ndim == 1 else samples
    if samples.ndim != 2 or samples.shape[1] != 1 or not len(samples):
        raise DataError(f"{name}: expected samples float [l] or [l, 1], got {list(np.shape(item))}")
    is_float = np.issubdtype(samples.dtype, np.floating)
    if not is_float or not np.isfinite(samples).all():
        got = "NaN or infinities" if is_float else samples.dtype
        raise DataError(f"{name}: expected finite samples from -1 to 1, got {got}")
    return samples.astype(np.float32)


def _each(x: Array, lengths: Array | None) -> Array:
    """[N, L, ..., C] with mean 0 and deviation 1 of each example over L, of what is within its length."""
    mask = jnp.ones(x.shape[:2], bool) if lengths is None else before(lengths, x.shape[1])
    weight = mask.reshape(*mask.shape, *(1,) * (x.ndim - 2)).astype(x.dtype)
    count = jnp.maximum(weight.sum(1, keepdims=True), 1)
    mean = (x * weight).sum(1, keepdims=True) / count
    variance = (jnp.square(x - mean) * weight).sum(1, keepdims=True) / count
    return (x - mean) * weight / (jnp.sqrt(variance) + SMALLEST * (1 + jnp.abs(mean)))


def _zero_behind(x: Array, lengths: Array | None) -> Array:
    if lengths is None:
        return x
    return jnp.where(before(lengths, x.shape[1])[:, :, None, None], x, jnp.zeros((), x.dtype))
