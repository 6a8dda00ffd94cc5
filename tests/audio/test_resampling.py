"""Sample rates of waveforms."""

import numpy as np
import pytest

from resnet_jax.audio.resampling import resample


def tone(hertz, rate, seconds=0.2):
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)[:, None]


def level(samples):
    """Of the middle, dB of a full sine."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return 10 * np.log10(2 * (middle**2).mean())


@pytest.mark.parametrize(
    "rate, new_rate", [(44100, 16000), (48000, 16000), (8000, 16000), (22050, 16000), (16000, 8000)]
)
def test_a_tone_is_the_tone_at_the_new_rate(rate, new_rate):
    for hertz in (0.02, 0.2, 0.45):
        hertz *= min(rate, new_rate)
        y, expected = resample(tone(hertz, rate), rate, new_rate), tone(hertz, new_rate)
        assert y.shape == expected.shape and y.dtype == np.float64
        middle = slice(len(y) // 4, -len(y) // 4)
        np.testing.assert_allclose(y[middle], expected[middle], atol=3e-4)


@pytest.mark.parametrize("rate, new_rate", [(44100, 16000), (48000, 8000)])
def test_what_the_new_rate_cannot_hold_is_removed(rate, new_rate):
    for share in (1.01, 1.3, 1.9):
        hertz = share * new_rate / 2
        assert level(tone(hertz, rate)) > -1 and level(resample(tone(hertz, rate), rate, new_rate)) < -70


@pytest.mark.parametrize("length", [1, 2, 7, 441, 1000])
def test_lengths_are_rounded_up(length):
    y = resample(np.ones((length, 2), np.float32), 44100, 16000)
    assert y.shape == (-(-length * 160 // 441), 2) and y.dtype == np.float32


def test_channels_stay_apart_and_float32_agrees():
    x = np.random.default_rng(0).standard_normal((500, 2))
    y = resample(x, 8000, 11025)
    for channel in range(2):
        np.testing.assert_allclose(y[:, channel : channel + 1], resample(x[:, channel : channel + 1], 8000, 11025))
    np.testing.assert_allclose(resample(x.astype(np.float32), 8000, 11025), y, atol=1e-5)


def test_the_same_rate_changes_nothing():
    x = np.ones((5, 1))
    assert resample(x, 8000, 8000) is x and resample(x[:0], 8000, 16000).shape == (0, 1)


def test_wrong_inputs_are_named():
    with pytest.raises(TypeError, match=r"expected samples float \[L, C\], got int16 \[5, 1\]"):
        resample(np.ones((5, 1), np.int16), 8000, 16000)
    with pytest.raises(ValueError, match="expected sample rates of at least 1 Hz, got 0 and 16000"):
        resample(np.ones((5, 1)), 0, 16000)


@pytest.mark.parity
@pytest.mark.parametrize("rate, new_rate", [(44100, 16000), (8000, 16000)])
def test_speech_band_agrees_with_soxr(rate, new_rate):
    soxr = pytest.importorskip("soxr")
    x = sum(tone(hertz, rate) for hertz in (200, 450, 1700, 3000)) / 4
    y, expected = resample(x, rate, new_rate), soxr.resample(x, rate, new_rate)
    middle = slice(len(y) // 4, -len(y) // 4)
    np.testing.assert_allclose(y[middle], expected[middle], atol=3e-4)
