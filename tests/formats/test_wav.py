"""WAV files of samples."""

import io
import wave

import numpy as np
import pytest

from resnet_jax.formats.wav import wav_file


@pytest.mark.parametrize("dtype, bits", [(np.int16, 16), (np.int64, 16), (np.int32, 16), (np.uint8, 16)])
def test_numbers_of_16_bits(dtype, bits):
    samples = np.array([0, 1, 100, 99], dtype)
    with wave.open(io.BytesIO(wav_file(samples, 8000))) as file:
        assert (file.getframerate(), file.getnchannels(), 8 * file.getsampwidth()) == (8000, 1, bits)
        assert np.frombuffer(file.readframes(9), "<i2").tolist() == samples.tolist()


def test_numbers_beyond_16_bits():
    for low, high in ((-(2**15), 2**15 - 1), (-(2**15) - 1, 0), (0, 2**15), (-(2**31), 2**31 - 1)):
        with wave.open(io.BytesIO(wav_file(np.array([low, high]), 16000))) as file:
            width = file.getsampwidth()
            assert width == (2 if low >= -(2**15) and high < 2**15 else 4)
            assert np.frombuffer(file.readframes(2), f"<i{width}").tolist() == [low, high]
    with pytest.raises(ValueError, match="expected samples of at most 32 bits, got 0 to 2147483648"):
        wav_file(np.array([0, 2**31]), 16000)


def test_the_package_reads_them():
    pytest.importorskip("soundfile")
    from resnet_jax.audio.files import read_audio

    rng = np.random.default_rng(0)
    for samples, scale in (
        (rng.integers(-(2**15), 2**15, (50, 2)).astype(np.int16), 2**15),
        (rng.integers(-(2**31), 2**31, 50), 2**31),
        (rng.uniform(-1, 1, 50).astype(np.float32), 1),
        (rng.uniform(-1, 1, (50, 1)), 1),
    ):
        waveform = read_audio(wav_file(samples, 22050), mono=False)
        assert waveform.sample_rate == 22050
        np.testing.assert_allclose(waveform.samples, samples.reshape(50, -1) / scale, atol=1e-7)


@pytest.mark.parametrize("samples", [np.zeros((2, 2, 2)), np.zeros((3, 0)), np.array(["a"]), np.array(1)])
def test_other_arrays_are_refused(samples):
    with pytest.raises(ValueError, match=r"expected numbers \[L\] or \[L, C\], got"):
        wav_file(samples, 8000)
