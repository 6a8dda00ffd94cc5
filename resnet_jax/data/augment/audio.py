"""Augmentation of waveforms and spectrograms on the device, keyed by an example's index as in `augment.device`.

`lengths` int [N] counts the samples or frames of each example; None: all of them. What lies behind stays 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.data.augment.device import mix_labels
from resnet_jax.ops import sample_per_example, shard_like, swap_neighbours, unshard
from resnet_jax.ops.canvas import before, within
from resnet_jax.ops.sharding import gather_like
from resnet_jax.ops.spectrogram import MelSettings, frame_count, log_mel
from resnet_jax.types import Array, Batch


class FrontEnd(Protocol):
    """Waveforms [N, L, C] to spectrograms [N, frames, bands, C]: `ops.spectrogram.log_mel` or `mfcc`."""

    def __call__(self, waveforms: Array, settings: MelSettings, lengths: Array | None = None) -> Array: ...


def shift_time(waveforms: Array, most: int, key: Array, index: Array, lengths: Array | None = None) -> Array:
    """Moves each waveform by up to `most` samples to either side: [N, L, C] -> [N, L, C].

    Zeros come in at one end; what leaves its length at the other end is lost.
    """
    x = _zero_behind(waveforms, lengths)
    starts = sample_per_example(lambda k: jax.random.randint(k, (), 0, 2 * most + 1), key, index)
    padded = jnp.pad(x, ((0, 0), (most, most), (0, 0)))
    slices = jax.vmap(lambda x, start: lax.dynamic_slice(x, (start, 0), waveforms.shape[1:]))
    return _zero_behind(slices(padded, shard_like(starts, waveforms)), lengths)


def add_noise(
    waveforms: Array,
    noises: Array | np.ndarray,
    ratio: tuple[float, float],
    key: Array,
    index: Array,
    lengths: Array | None = None,
    *,
    probability: float = 1.0,
) -> Array:
    """Adds a random part of a random noise to each waveform [N, L, C] with this probability -> [N, L, C].

    A noise that is shorter than the waveforms is repeated. Sums may exceed -1 to 1.

    Args:
      noises: [M, K, C] or [M, K, 1], at the sample rate of the waveforms, without padding.
      ratio: bounds of the signal-to-noise ratio, dB, which is uniform between them.

    Raises:
      ValueError: noises of another rank or number of channels, or no noise.
    """
    count, length, channels = waveforms.shape
    noises = jnp.asarray(noises)
    if noises.ndim != 3 or noises.shape[2] not in (1, channels) or not noises.size:
        raise ValueError(f"expected noises [M, K, {channels}] or [M, K, 1], got {list(noises.shape)}")

    def sample(k: Array) -> tuple[Array, ...]:
        chosen, which, start, decibels = jax.random.split(k, 4)
        level = jax.random.uniform(decibels, (), jnp.float32, *ratio)
        place = (jax.random.randint(which, (), 0, noises.shape[0]), jax.random.randint(start, (), 0, noises.shape[1]))
        return jax.random.bernoulli(chosen, probability), level, *place

    chosen, decibels, which, start = (shard_like(x, waveforms) for x in sample_per_example(sample, key, index))
    places = (start[:, None] + jnp.arange(length)[None]) % noises.shape[1]
    noise = gather_like(noises, (which[:, None], places), waveforms)
    return jnp.where(chosen[:, None, None], mix_at_ratio(waveforms, noise, decibels, lengths), waveforms)


def mix_at_ratio(waveforms: Array, noise: Array, decibels: Array, lengths: Array | None = None) -> Array:
    """Waveforms [N, L, C] plus noise [N, L, C] or [N, L, 1], scaled to signal-to-noise ratios [N] in dB -> [N, L, C].

    Powers are means over an example's length. A silent waveform, or one with silent noise, stays as it is.
    """
    signal, noise = _zero_behind(waveforms, lengths), _zero_behind(noise.astype(waveforms.dtype), lengths)
    power, noise_power = (jnp.mean(x**2, (1, 2)) * x.shape[1] for x in (signal, noise))
    audible = noise_power > 0
    gain = 10 ** (-decibels.astype(waveforms.dtype) / 20) * jnp.sqrt(power / jnp.where(audible, noise_power, 1))
    return signal + jnp.where(audible, gain, 0)[:, None, None] * noise


@dataclass(frozen=True)
class SpecAugment:
    """Masks of bands and frames of spectrograms (Park et al. 2019, section 2), without its time warping."""

    band_masks: int
    band_width: int  # bands of a mask, at most
    frame_masks: int
    frame_width: int  # frames of a mask, at most
    frame_share: float = 1.0  # of an example's frames that a mask covers, at most

    def __call__(
        self, spectrograms: Array, key: Array, index: Array, lengths: Array | None = None, *, fill: float = 0.0
    ) -> Array:
        """[N, frames, bands, C] -> the same. `fill` is what masks hold: 0 is the mean of normalised bands.

        A mask's width is uniform between 0 and its limit, its place uniform over all that fit.
        """
        count, frames, bands, _ = spectrograms.shape
        samples = self.band_masks + self.frame_masks
        uniform = sample_per_example(lambda k: jax.random.uniform(k, (samples, 2), jnp.float32), key, index)
        uniform = shard_like(uniform, spectrograms)
        sizes = jnp.full_like(index, frames) if lengths is None else jnp.minimum(lengths, frames)
        longest = jnp.minimum(self.frame_width, jnp.floor(self.frame_share * sizes).astype(sizes.dtype))
        masked = jnp.zeros((count, frames, bands, 1), bool)
        for i in range(self.band_masks):
            limit = jnp.full_like(sizes, min(self.band_width, bands))
            masked |= _one_mask(bands, jnp.full_like(sizes, bands), limit, uniform[:, i])[:, None, :, None]
        for i in range(self.band_masks, samples):
            masked |= _one_mask(frames, sizes, longest, uniform[:, i])[:, :, None, None]
        if lengths is not None:
            masked &= before(lengths, frames)[:, :, None, None]
        return jnp.where(masked, jnp.asarray(fill, spectrograms.dtype), spectrograms)


# Park et al. 2019, table 1: for LibriSpeech, basic and double, and for Switchboard, mild and strong.
POLICIES = {
    "LB": SpecAugment(1, 27, 1, 100),
    "LD": SpecAugment(2, 27, 2, 100),
    "SM": SpecAugment(2, 15, 2, 70, 0.2),
    "SS": SpecAugment(2, 27, 2, 70, 0.2),
}


def _one_mask(length: int, sizes: Array, limit: Array, uniform: Array) -> Array:
    """One run of positions for each example, inside its size: bool [N, length]."""
    width = jnp.floor(uniform[:, 0] * (limit + 1)).astype(sizes.dtype)
    start = jnp.floor(uniform[:, 1] * (sizes - width + 1)).astype(sizes.dtype)
    return within(length, start, width)


def mixup(batch: Batch, key: Array, *, alpha: float, num_classes: int) -> Batch:
    """Mixes inputs [N, ...] and labels of examples 2k and 2k+1: label int [N] or float [N, K] -> float [N, K].

    Zhang et al. 2018, section 2, as `augment.device.mix`. The longer of a pair's `lengths` counts for both. A pair with
    an example of mask 0, which fills up an epoch's last batch, is not mixed.

    Raises:
      ValueError: an odd number of examples.
    """
    x, mask = batch["image"], batch["mask"]
    if x.shape[0] % 2:
        raise ValueError(f"mixup pairs neighbours: expected an even number of examples a device, got {x.shape[0]}")
    pairs = unshard(batch["index"]) // 2  # jax.random.beta does not sample from keys on an explicit axis
    share = shard_like(sample_per_example(lambda k: jax.random.beta(k, alpha, alpha), key, pairs), x)
    is_mixed = mask * swap_neighbours(mask) > 0
    share = jnp.where(is_mixed, share, 1)
    weight = share.reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype)
    mixed = weight * x + (1 - weight) * swap_neighbours(x)
    labels = mix_labels(batch["label"], share, num_classes)
    mixed_batch = {**batch, "image": mixed, "label": labels}
    if (lengths := batch.get("lengths")) is not None:
        mixed_batch["lengths"] = jnp.where(is_mixed, jnp.maximum(lengths, swap_neighbours(lengths)), lengths)
    return mixed_batch


def make_audio_augment(
    *,
    shift: int = 0,
    noises: Array | np.ndarray | None = None,
    noise_ratio: tuple[float, float] = (0.0, 20.0),
    noise_probability: float = 1.0,
    settings: MelSettings | None = None,
    front_end: FrontEnd = log_mel,
    masks: SpecAugment | None = None,
    alpha: float = 0.0,
    num_classes: int = 0,
    prepare: Callable[[Batch], Batch] | None = None,
) -> Callable[[Batch, Array], Batch]:
    """augment(batch, key) -> batch: shifts waveforms, adds noise, makes spectrograms of them, masks and mixes them.

    Args:
      shift: `shift_time`, samples.
      noises, noise_ratio, noise_probability: `add_noise`.
      settings, front_end: make spectrograms; `lengths` of the batch become frames. None: waveforms stay.
      masks: `SpecAugment`, for spectrograms.
      alpha, num_classes: `mixup`.
      prepare: makes the net's input of the batch instead, as `AudioPreprocess.prepare`.

    Raises:
      ValueError: masks without settings or `prepare`; both of these.
    """
    if masks is not None and settings is None and prepare is None:
        raise ValueError("masks: expected settings of spectrograms, got None; waveforms have no bands to mask")
    if settings is not None and prepare is not None:
        raise ValueError("prepare: expected None beside settings, which make spectrograms too")

    def augment(batch: Batch, key: Array) -> Batch:
        x, index, lengths = batch["image"], batch["index"], batch.get("lengths")
        keys = jax.random.split(key, 4)
        if shift:
            x = shift_time(x, shift, keys[0], index, lengths)
        if noises is not None:
            x = add_noise(x, noises, noise_ratio, keys[1], index, lengths, probability=noise_probability)
        if settings is not None:
            x = front_end(x, settings, lengths)
            lengths = None if lengths is None else frame_count(lengths, settings)
        batch = {**batch, "image": x} if lengths is None else {**batch, "image": x, "lengths": lengths}
        batch = batch if prepare is None else prepare(batch)
        if masks is not None:
            batch = {**batch, "image": masks(batch["image"], keys[2], index, batch.get("lengths"))}
        return mixup(batch, keys[3], alpha=alpha, num_classes=num_classes) if alpha else batch

    return augment


def _zero_behind(x: Array, lengths: Array | None) -> Array:
    return x if lengths is None else jnp.where(before(lengths, x.shape[1])[:, :, None], x, jnp.zeros((), x.dtype))
