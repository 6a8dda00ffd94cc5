"""Augmentation of sounds as a config describes it, and options that do not fit."""

import jax
import numpy as np
import pytest
from sounds import sounds

from resnet_jax.config import AudioConfig, Config, DataConfig, check_config
from resnet_jax.errors import DataError, UnreadableAudio
from resnet_jax.inputs import AudioPreprocess
from resnet_jax.runs.planning import sound_augmentation
from resnet_jax.runs.planning.sound_augmentation import (
    check_sound_augmentation,
    make_sound_augmentation,
    read_noises,
)

WAVES = AudioPreprocess(8000, seconds=0.05, front_end="waveform")
MELS = AudioPreprocess(8000, seconds=0.05, bands=8)
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def batch(n=4):
    image = RNG.uniform(-0.5, 0.5, (n, 400, 1)).astype(np.float32)
    return {"image": image, "label": np.arange(n) % 2, "mask": np.ones(n, np.float32), "index": np.arange(n)}


def augmented(config, preprocess, one, key=KEY):
    return jax.jit(make_sound_augmentation(config, preprocess, 2))(one, key)


def test_nothing_is_changed_by_default_but_the_input_is_made():
    one = batch()
    np.testing.assert_array_equal(augmented(AudioConfig(), WAVES, one)["image"], one["image"])
    spectrograms = augmented(AudioConfig(), MELS, one)["image"]
    np.testing.assert_allclose(spectrograms, MELS.prepare(one)["image"], rtol=1e-6)  # two compiled programs


def test_a_shift_in_seconds_is_one_in_samples():
    one = batch()
    moved = np.asarray(augmented(AudioConfig(shift=0.01), WAVES, one)["image"])
    for before, after in zip(one["image"][..., 0], moved[..., 0], strict=True):
        matches = [
            s
            for s in range(-80, 81)
            if np.array_equal(after[max(0, s) : 400 + min(0, s)], before[max(0, -s) : 400 - max(0, s)])
        ]
        assert len(matches) == 1
    assert not np.array_equal(moved, one["image"])


def test_masks_cover_normalised_bands_and_frames_with_their_mean():
    one = {**batch(), "image": np.ones((4, 400, 1), np.float32)}
    plain = np.asarray(augmented(AudioConfig(), MELS, one)["image"])
    masked = np.asarray(augmented(AudioConfig(mask_bands=(2, 5), mask_frames=(1, 2)), MELS, one)["image"])
    changed = masked != plain
    assert 0 < changed.mean() < 1 and not masked[changed].any()
    capped = AudioConfig(mask_frames=(1, 100), mask_share=0.5)
    rows = (np.asarray(augmented(capped, MELS, one)["image"]) != plain).any((2, 3)).sum(1)
    assert rows.max() <= plain.shape[1] // 2


def test_mixup_mixes_spectrograms_and_labels():
    one = batch()
    mixed = augmented(AudioConfig(mixup=1.0), MELS, one)
    assert mixed["label"].shape == (4, 2)
    np.testing.assert_allclose(np.asarray(mixed["label"]).sum(1), 1, rtol=1e-6)
    plain = np.asarray(MELS.prepare(one)["image"])
    share = np.asarray(mixed["label"])[0, 0]
    np.testing.assert_allclose(mixed["image"][0], share * plain[0] + (1 - share) * plain[1], atol=1e-5)


def test_noise_is_cut_into_pieces_of_the_shortest_sound(tmp_path):
    pytest.importorskip("soundfile")
    sounds(tmp_path, "a.wav", "b/c.wav", length=300)
    sounds(tmp_path, "long.wav", length=700)
    noises = read_noises(str(tmp_path), WAVES)
    assert noises.shape == (4, 300, 1) and noises.dtype == np.float32 and np.abs(noises).max() > 0.4
    config = AudioConfig(noise=str(tmp_path), noise_ratio=(10.0, 10.0))
    one = batch()
    added = np.asarray(augmented(config, WAVES, one)["image"]) - one["image"]
    ratios = 10 * np.log10((one["image"] ** 2).sum((1, 2)) / (added**2).sum((1, 2)))
    np.testing.assert_allclose(ratios, 10, atol=1e-3)
    never = AudioConfig(noise=str(tmp_path), noise_probability=0.0)
    np.testing.assert_array_equal(augmented(never, WAVES, one)["image"], one["image"])


def test_noise_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match="^data.audio.noise: no file or folder '.*none'; expected one of sounds"
    ):
        check_sound_augmentation(AudioConfig(noise=str(tmp_path / "none")), WAVES, "class")
    with pytest.raises(ValueError, match=r"^data.audio.noise: .* has no sounds \(.flac, "):
        check_sound_augmentation(AudioConfig(noise=str(tmp_path)), WAVES, "class")
    pytest.importorskip("soundfile")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    check_sound_augmentation(AudioConfig(noise=str(tmp_path)), WAVES, "class")
    with pytest.raises(UnreadableAudio, match=r"a.wav: "):
        read_noises(str(tmp_path), WAVES)
    sounds(tmp_path, "a.wav")
    monkeypatch.setattr(sound_augmentation, "MOST_NOISE", 50)
    with pytest.raises(DataError, match=r"a.wav: data.audio.noise has more than 0 minutes of sounds"):
        read_noises(str(tmp_path), WAVES)


@pytest.mark.parametrize(
    ("options", "preprocess", "kind", "message"),
    [
        ({"mask_bands": (1, 5)}, WAVES, "class", "data.audio.mask_bands: expected 0 masks of waveforms"),
        ({"mask_frames": (1, 5)}, MELS, "class", "data.audio.mask_frames: expected data.audio.normalise train or each"),
        ({"mask_frames": (1, 5)}, WAVES, "class", "data.audio.mask_frames: expected 0 masks of waveforms"),
        ({"shift": 0.05}, WAVES, "class", "data.audio.shift: expected less than data.audio.seconds, 0.05, got 0.05"),
        ({"mixup": 0.2}, MELS, "transcript", "data.audio.mixup: expected 0 for labels of kind transcript"),
        ({"mixup": 0.2}, MELS, "targets", "data.audio.mixup: expected 0 for labels of kind targets"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, preprocess, kind, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_sound_augmentation(AudioConfig(**options), preprocess, kind)


@pytest.mark.parametrize(
    "options",
    [
        {"shift": -1.0},
        {"noise_ratio": (20.0, 0.0)},
        {"noise_probability": 1.5},
        {"mask_bands": (1, 0)},
        {"mask_frames": (-1, 3)},
        {"mask_share": 0.0},
    ],
)
def test_ranges(options):
    with pytest.raises(ValueError, match=f"data.audio.{next(iter(options))}"):
        check_config(Config(data=DataConfig(audio=AudioConfig(**options))))
