"""Sounds as inputs of a net: waveforms, spectrograms, normalisation within lengths."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.errors import DataError
from resnet_jax.inputs import AudioPreprocess, preprocess_of
from resnet_jax.ops.spectrogram import log_mel

RATE = 2000
SMALL = partial(AudioPreprocess, RATE, bands=6, coefficients=4)
LENGTHS = np.array([400, 130, 0])


def waveforms(seed=0):
    x = np.random.default_rng(seed).standard_normal((3, 400, 1)).astype(np.float32) * 0.1
    return np.where(np.arange(400)[None, :, None] < LENGTHS[:, None, None], x, 0)


def prepared(preprocess, x, lengths=None):
    batch = {"image": jnp.asarray(x)} | ({} if lengths is None else {"lengths": jnp.asarray(lengths)})
    return jax.jit(lambda batch: dict(preprocess.prepare(batch)))(batch)


@pytest.mark.parametrize(
    ("front_end", "normalise"),
    [("waveform", "each"), ("log_mel", "each"), ("log_mel", "train"), ("mfcc", "each"), ("mfcc", "none")],
)
def test_what_lies_behind_a_length_changes_nothing(front_end, normalise):
    """An example without samples, which fills up a batch, is zeros of length 0."""
    preprocess = SMALL(front_end=front_end, normalise=normalise, mean=-3.0, std=2.0)
    x = waveforms()
    batch = prepared(preprocess, x, LENGTHS)
    image, lengths = np.asarray(batch["image"]), np.asarray(batch["lengths"])
    assert image.shape == (3, *preprocess.spatial_shape(400), 1) and lengths[2] == 0
    assert np.isfinite(image).all() and not image[2].any()
    for row in range(2):
        assert not image[row, lengths[row] :].any()
        alone = np.asarray(prepared(preprocess, x[row : row + 1, : LENGTHS[row]])["image"])
        assert alone.shape[1] == lengths[row]
        np.testing.assert_allclose(image[row, : lengths[row]], alone[0], atol=2e-4)


@pytest.mark.parametrize("front_end", ["waveform", "log_mel", "mfcc"])
def test_each_has_mean_0_and_deviation_1_per_band(front_end):
    x = 0.3 + waveforms()[:1]
    image = np.asarray(prepared(SMALL(front_end=front_end, normalise="each"), x)["image"])
    np.testing.assert_allclose(image.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(image.std(1), 1, atol=1e-2)
    silent = np.asarray(prepared(SMALL(front_end=front_end, normalise="each"), np.zeros_like(x))["image"])
    assert np.abs(silent).max() < 0.05  # of rounding


def test_train_has_the_numbers_of_the_training_sounds():
    plain = SMALL(normalise="none")
    sounds = [waveforms(1)[0], waveforms(2)[0, :300], waveforms(3)[1, :130]]
    every = np.concatenate([np.ravel(prepared(plain, sound[None])["image"]) for sound in sounds])
    preprocess = SMALL(normalise="train").of_sounds(sounds)
    assert preprocess.mean == pytest.approx(every.mean(), rel=1e-5)
    assert preprocess.std == pytest.approx(every.std(), rel=1e-5)
    assert plain.of_sounds(sounds) is plain
    with pytest.raises(ValueError, match="^normalise: expected each or none for waveforms, got train"):
        SMALL(front_end="waveform", normalise="train")
    with pytest.raises(ValueError, match="^expected at least one waveform, got none$"):
        SMALL(normalise="train").of_sounds([])


def test_spectrograms_are_those_of_the_definition():
    preprocess = SMALL(window=0.02, hop=0.005, low=50.0, high=900.0)
    settings = preprocess.settings
    assert (settings.window_length, settings.hop, settings.fft_size, settings.log) == (40, 10, 64, "natural")
    x = jnp.asarray(waveforms()[:1])
    np.testing.assert_array_equal(preprocess.prepare({"image": x})["image"], log_mel(x, settings))
    assert SMALL(convention="librosa").settings.scale == "slaney"
    with pytest.raises(ValueError, match="^coefficients: expected more than 0 and at most 6, got 40$"):
        _ = SMALL(coefficients=40, front_end="mfcc").settings


def test_clips_of_one_length_are_cut_in_the_middle_and_at_random_in_training():
    preprocess = SMALL(seconds=0.05, front_end="waveform")
    assert preprocess.fixed_length == 100 and preprocess.length(np.zeros(7, np.float32), "x") == 100
    ramp = preprocess.read(np.arange(300, dtype=np.float32), "x")
    assert preprocess.fit(ramp)[0, 0] == 100
    assert len({int(preprocess.fit(ramp, np.random.default_rng(seed))[0, 0]) for seed in range(20)}) > 9
    x, lengths = preprocess.batch([np.ones(30, np.float32)])
    assert (x.shape, lengths, int(x.sum())) == ((1, 100, 1), None, 30)  # silence counts


def test_a_batch_of_sounds_has_lengths_in_frames():
    preprocess = SMALL(hop=0.01)
    x, lengths = preprocess.batch([np.zeros(400, np.float32), np.zeros(100, np.float32)])
    assert x.shape == (2, *preprocess.spatial_shape(400), 1) and lengths.tolist() == [21, 6]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (np.zeros((4, 2), np.float32), r"^x: expected samples float \[l\] or \[l, 1\], got \[4, 2\]$"),
        (np.zeros(0, np.float32), r"^x: expected samples float \[l\] or \[l, 1\], got \[0\]$"),
        (np.zeros(4, np.int16), "^x: expected finite samples from -1 to 1, got int16$"),
        (np.array([0.1, np.nan]), "^x: expected finite samples from -1 to 1, got NaN or infinities$"),
    ],
)
def test_what_are_no_samples_is_named(item, message):
    for function in (AudioPreprocess().read, AudioPreprocess().length):
        with pytest.raises(DataError, match=message):
            function(item, "x")


def test_its_record_restores_it():
    preprocess = SMALL(seconds=1.0, normalise="train").of_sounds([waveforms()[0]])
    assert preprocess_of(json.loads(json.dumps(preprocess.record()))) == preprocess
