"""Augmentation of training sounds that a config describes: shifts, noise of a folder, masks of spectrograms, mixup."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from resnet_jax.config import AudioConfig
from resnet_jax.data.augment.audio import SpecAugment, make_audio_augment
from resnet_jax.errors import DataError
from resnet_jax.files import expanded
from resnet_jax.formats.file_kinds import SOUND_FILES
from resnet_jax.formats.listing import list_files
from resnet_jax.inputs import AudioPreprocess
from resnet_jax.types import Array, Batch, LabelKind

MOST_NOISE = 2**25  # samples, which the device holds: 35 minutes at 16 kHz
MIXED: tuple[LabelKind, ...] = ("class", "multi-hot")


def check_sound_augmentation(config: AudioConfig, preprocess: AudioPreprocess, label_kind: LabelKind) -> None:
    """Raises ValueError for options that do not fit the net's input or the labels, or a folder without sounds."""
    for name in ("mask_bands", "mask_frames"):
        if preprocess.front_end == "waveform" and getattr(config, name)[0]:
            raise ValueError(f"data.audio.{name}: expected 0 masks of waveforms, which have no bands and frames")
        if preprocess.normalise == "none" and getattr(config, name)[0]:  # masks hold 0, loud in logarithms
            expected = "expected data.audio.normalise train or each, of which 0 is the mean, got none"
            raise ValueError(f"data.audio.{name}: {expected}")
    if preprocess.seconds is not None and config.shift >= preprocess.seconds:
        expected = f"less than data.audio.seconds, {preprocess.seconds:g}"
        raise ValueError(f"data.audio.shift: expected {expected}, got {config.shift:g}")
    if config.mixup and label_kind not in MIXED:
        raise ValueError(f"data.audio.mixup: expected 0 for labels of kind {label_kind}, which have no mean")
    if config.noise is not None:
        noise_files(config.noise)


def make_sound_augmentation(
    config: AudioConfig, preprocess: AudioPreprocess, num_classes: int
) -> Callable[[Batch, Array], Batch]:
    """augment(batch, key) -> the net's input of augmented sounds; see `data.make_audio_augment`.

    Raises:
      ValueError, OSError: a sound of the noise cannot be read, or there are too many.
    """
    bands, frames = config.mask_bands, config.mask_frames
    masks = SpecAugment(*bands, *frames, config.mask_share) if bands[0] or frames[0] else None
    return make_audio_augment(
        shift=round(config.shift * preprocess.sample_rate),
        noises=None if config.noise is None else read_noises(config.noise, preprocess),
        noise_ratio=config.noise_ratio,
        noise_probability=config.noise_probability,
        prepare=preprocess.prepare,
        masks=masks,
        alpha=config.mixup,
        num_classes=num_classes,
    )


def noise_files(folder: str) -> list[str]:
    """The sounds below a folder, or the one at this path.

    Raises:
      FileNotFoundError: nothing there. ValueError: no sounds.
    """
    path = expanded(folder)
    if not path.exists():
        raise FileNotFoundError(f"data.audio.noise: no file or folder {str(path)!r}; expected one of sounds")
    files = list_files(path, kind=SOUND_FILES).paths if path.is_dir() else [path]
    if not files:
        raise ValueError(f"data.audio.noise: {path} has no sounds ({', '.join(sorted(SOUND_FILES.extensions))})")
    return [str(file) for file in files]


def read_noises(folder: str, preprocess: AudioPreprocess) -> np.ndarray:
    """All sounds below a folder in pieces of the length of the shortest one, or of a clip's: float32 [M, K, 1].

    Raises:
      DataError: a sound that cannot be read, or more than `MOST_NOISE` samples.
    """
    sounds, total = [], 0
    for file in noise_files(folder):
        sounds.append(preprocess.read(file, file))
        total += len(sounds[-1])
        if total > MOST_NOISE:
            most = f"{MOST_NOISE / preprocess.sample_rate / 60:.0f} minutes"
            raise DataError(f"{file}: data.audio.noise has more than {most} of sounds; expected a smaller folder")
    size = min(len(sound) for sound in sounds)
    pieces = [sound[start : start + size] for sound in sounds for start in range(0, len(sound) - size + 1, size)]
    return np.stack(pieces)
