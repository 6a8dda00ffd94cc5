"""Spectrograms on the device: torchaudio's and librosa's numbers, lengths, silence, gradients."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spectrogram_reference as reference

from resnet_jax.ops.spectrogram import (
    LIBROSA,
    TORCHAUDIO,
    MelSettings,
    filters_of,
    frame_count,
    hann_window,
    log_mel,
    mel_spectrogram,
    mfcc,
    spectrogram,
    split_frames,
    stft,
)

BASES = {"torchaudio": TORCHAUDIO, "librosa": LIBROSA}
CASES = [(library, case) for library, cases in reference.CASES.items() for case in cases]
SMALL = MelSettings(sample_rate=8000, fft_size=32, hop=10, bands=6, coefficients=4)
RNG = np.random.default_rng(0)
log_mels, stfts = jax.jit(log_mel, static_argnums=1), jax.jit(stft, static_argnums=1)


def settings_of(library, case):
    return replace(BASES[library], **reference.CASES[library][case])


@cache
def golden(library):
    with np.load(reference.FOLDER / f"spectrogram_{library}.npz") as arrays:
        return dict(arrays)


def expected_arrays(library, case):
    return {name.partition("/")[2]: x for name, x in golden(library).items() if name.startswith(f"{case}/")}


def all_arrays(settings):
    """What `spectrogram_reference` has of a library."""

    @jax.jit
    def run(x):
        mel, log = mel_spectrogram(x, settings), log_mel(x, settings)
        y, pull = jax.vjp(lambda x: mfcc(x, settings), x)
        gradient = pull(jnp.asarray(reference.weights(y.shape[:3])[..., None], y.dtype))[0]
        return {"mel": mel, "log": log, "mfcc": y, "gradient": gradient}

    arrays = run(jnp.asarray(reference.sounds())[..., None])
    return {"filters": filters_of(settings), **{name: np.asarray(x)[..., 0] for name, x in arrays.items()}}


def check(arrays, expected, tolerance):
    assert expected
    for name, x in expected.items():
        assert arrays[name].shape == x.shape, name
        # The gradient of a magnitude near 0 has a direction of few digits.
        atol = np.abs(x).max() * (100 * tolerance if name == "gradient" else tolerance)
        np.testing.assert_allclose(arrays[name], x, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("library, case", CASES)
def test_numbers_are_the_libraries_in_float64(library, case, x64):
    arrays = all_arrays(settings_of(library, case))
    assert arrays["mfcc"].dtype == np.float64
    check(arrays, expected_arrays(library, case), 1e-11)


@pytest.mark.parity
@pytest.mark.parametrize("library, case", CASES)
def test_numbers_are_those_of_the_installed_libraries(library, case, x64):
    pytest.importorskip(library)
    settings = settings_of(library, case)
    check(all_arrays(settings), reference.ARRAYS[library](settings), 1e-11)


@pytest.mark.parametrize("library", BASES)
def test_float32_agrees_with_float64(library):
    arrays, expected = all_arrays(settings_of(library, "usual")), expected_arrays(library, "usual")
    assert arrays["mfcc"].dtype == np.float32
    check(arrays, {"mel": expected["mel"]}, 1e-6)
    check(arrays, {name: expected[name] for name in ("log", "mfcc")}, 1e-4)  # 0.01 of 100 dB


def test_coefficients_are_the_fourier_sums_of_windowed_frames():
    x = RNG.standard_normal((2, 50, 3)).astype(np.float32)
    settings = replace(SMALL, fft_size=12, window_length=7, hop=5, padding="none")
    window = np.zeros(12)
    window[2:9] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(7) / 7)
    np.testing.assert_allclose(hann_window(7, 12), window, atol=1e-15)
    waves = np.exp(-2j * np.pi * np.arange(12)[:, None] * np.arange(7) / 12)
    frames = np.stack([x[:, start : start + 12] for start in range(0, 39, 5)], 1)
    np.testing.assert_array_equal(split_frames(jnp.asarray(x), 12, 5), frames)
    expected = np.einsum("ntsc,s,sf->ntfc", frames, window, waves)
    np.testing.assert_allclose(stfts(jnp.asarray(x), settings), expected, atol=1e-5)
    magnitudes = spectrogram(jnp.asarray(x), replace(settings, power=1.0))
    np.testing.assert_allclose(magnitudes, np.abs(expected), atol=1e-5)


@pytest.mark.parametrize("size, hop", [(3, 5), (6, 3), (7, 3), (8, 8), (5, 1)])
def test_frames_are_windows_at_every_hop(size, hop):
    x = jnp.arange(2 * 23.0).reshape(2, 23, 1)
    frames = split_frames(x, size, hop)
    assert frames.shape[1] == 1 + (23 - size) // hop
    for t in range(frames.shape[1]):
        np.testing.assert_array_equal(frames[:, t], x[:, t * hop : t * hop + size])


@pytest.mark.parametrize("padding", ["reflect", "zeros", "none"])
@pytest.mark.parametrize("fft_size", [8, 9])
def test_frames_are_counted_before_they_are_made(padding, fft_size):
    settings = replace(SMALL, fft_size=fft_size, hop=3, padding=padding, bands=2, coefficients=2)
    lengths = np.arange(0, 30)
    counts = frame_count(lengths, settings)
    assert counts[0] == 0 and [frame_count(int(n), settings) for n in lengths] == counts.tolist()
    for n in lengths[counts > 0]:
        shape = jax.eval_shape(lambda x: stft(x, settings), jax.ShapeDtypeStruct((1, int(n), 1), np.float32)).shape
        assert shape == (1, counts[n], fft_size // 2 + 1, 1)


@pytest.mark.parametrize("settings", [SMALL, replace(SMALL, padding="zeros"), replace(SMALL, padding="none")])
def test_what_lies_behind_a_length_changes_no_number(settings):
    x = RNG.standard_normal((4, 90, 1)).astype(np.float32)
    lengths = np.array([95, 61, 33, 0])
    x[:, :, 0] *= 10.0 ** np.array([1, -4, -3, 0])[:, None]  # a peak for all would clip the quiet ones
    hidden = np.where(np.arange(90)[:, None] < lengths[:, None, None], x, np.nan)
    y = np.asarray(log_mels(hidden, settings, lengths))
    for i, length in enumerate(lengths):
        count = frame_count(min(length, 90), settings)
        assert (y[i, count:] == 0).all()
        if length:
            alone = log_mels(x[i : i + 1, :length], settings)[0]
            np.testing.assert_allclose(y[i, :count], alone, rtol=1e-5, atol=1e-5)


def test_gradients_stop_at_the_length():
    x = RNG.standard_normal((2, 90, 1)).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda x: mfcc(x, SMALL, jnp.array([90, 55])).sum()))(x)
    assert np.isfinite(gradient).all() and (gradient[1, 55:] == 0).all()
    assert (gradient[0] != 0).all() and (gradient[1, :55] != 0).all()


def test_short_waveforms_are_reflected_several_times():
    x = jnp.asarray(RNG.standard_normal((1, 3, 1)), jnp.float32)
    whole = jnp.asarray(np.pad(x, ((0, 0), (16, 16), (0, 0)), mode="reflect"))
    expected = stfts(whole, replace(SMALL, padding="none"))
    np.testing.assert_allclose(stfts(x, SMALL), expected, atol=1e-5)
    behind = jnp.pad(x, ((0, 0), (0, 30), (0, 0)), constant_values=jnp.nan)
    np.testing.assert_allclose(stfts(behind, SMALL, jnp.array([3]))[:, :1], expected, atol=1e-5)
    one = stfts(x[:, :1], SMALL)
    np.testing.assert_allclose(one, stfts(jnp.full((1, 33, 1), x[0, 0, 0]), replace(SMALL, padding="none")), atol=1e-5)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_silence_is_the_floor_and_has_no_gradient(power):
    settings = replace(SMALL, power=power)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: log_mel(x, settings).mean()))(jnp.zeros((2, 80, 1)))
    np.testing.assert_allclose(value, -100, rtol=1e-6)
    assert (np.asarray(gradient) == 0).all()


def test_nan_stays_visible():
    x = jnp.zeros((2, 80, 1)).at[0, 40].set(jnp.nan)
    means = jax.jit(lambda x: log_mel(x, SMALL).mean((1, 2, 3)))(x)
    assert np.isnan(means[0]) and np.isfinite(means[1])


def test_each_example_and_channel_has_its_peak():
    x = RNG.standard_normal((2, 80, 2)).astype(np.float32) * np.array([[[1, 1e-6]], [[1e-3, 1e2]]], np.float32)
    y = log_mels(x, replace(SMALL, floor=1e-30))
    for i in range(2):
        for channel in range(2):
            alone = log_mels(x[i : i + 1, :, channel : channel + 1], replace(SMALL, floor=1e-30))
            np.testing.assert_allclose(y[i, ..., channel], alone[0, ..., 0], atol=1e-4)


def test_half_precision_is_widened():
    x = jnp.asarray(RNG.standard_normal((1, 80, 1)), jnp.bfloat16)
    assert log_mel(x, SMALL).dtype == jnp.float32


def test_a_count_of_bands_without_a_frequency_is_a_warning():
    with pytest.warns(
        UserWarning, match=r"mel bands hold no frequency and are constant: expected fewer bands .* 60 and"
    ):
        filters_of(replace(SMALL, bands=60))


def test_wrong_inputs_are_named():
    with pytest.raises(TypeError, match=r"got int16 \[1, 80, 1\]; divide by 32768"):
        log_mel(jnp.zeros((1, 80, 1), jnp.int16), SMALL)
    with pytest.raises(ValueError, match=r"got float32 \[1, 80\]; waveforms\[..., None\] has one channel"):
        log_mel(jnp.zeros((1, 80)), SMALL)
    with pytest.raises(ValueError, match="at least 32 samples, got 31"):
        log_mel(jnp.zeros((1, 31, 1)), replace(SMALL, padding="none"))
    with pytest.raises(ValueError, match="at least 1 samples, got 0"):
        log_mel(jnp.zeros((1, 0, 1)), SMALL)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"padding": "same"}, "padding: expected one of reflect, zeros, none, got 'same'"),
        ({"scale": "bark"}, "scale: expected one of htk, slaney, got 'bark'"),
        ({"norm": "l1"}, "norm: expected None or 'slaney', got 'l1'"),
        ({"hop": 0}, "hop: expected more than 0, got 0"),
        ({"window_length": 33}, "window_length: expected more than 0 and at most 32, got 33"),
        ({"coefficients": 7}, "coefficients: expected more than 0 and at most 6, got 7"),
        ({"high": 4001.0}, "high: expected more than 0 and at most 4000, got 4001"),
        ({"low": 4000.0}, "low: expected at least 0 and less than high, 4000, got 4000"),
        ({"dynamic_range": 0.0}, "dynamic_range: expected more than 0, got 0"),
    ],
)
def test_wrong_settings_are_named(changes, message):
    with pytest.raises(ValueError) as error:
        replace(SMALL, **changes)
    assert str(error.value) == message
