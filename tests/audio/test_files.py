"""Audio files: every kind that is read, and what is named."""

import io
import struct
import sys
import wave

import numpy as np
import pytest

from resnet_jax.errors import DataError, UnreadableAudio

soundfile = pytest.importorskip("soundfile")

from resnet_jax.audio import files  # noqa: E402  (needs soundfile)
from resnet_jax.audio.files import AudioHeader, read_audio, read_audio_header  # noqa: E402

RNG = np.random.default_rng(0)
TONE = (0.6 * np.sin(np.arange(4000) * 0.2))[:, None]
STEREO = np.concatenate([TONE, RNG.uniform(-0.5, 0.5, (4000, 1))], 1)


def encoded(samples, rate=8000, kind="WAV", subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def wave_file(values, bits, rate=8000):
    """A WAV of integers [L, C], written by the standard library."""
    width = bits // 8
    if bits == 8:
        raw = (values + 128).astype(np.uint8).tobytes()
    else:
        raw = b"".join(int(value).to_bytes(width, "little", signed=True) for value in values.reshape(-1))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(values.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return buffer.getvalue()


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("channels", [1, 2])
def test_integers_are_divided_by_their_range(bits, channels):
    largest = 2 ** (bits - 1)
    values = RNG.integers(-largest, largest, (300, channels))
    values[:2] = [[-largest] * channels, [largest - 1] * channels]
    samples, rate = read_audio(wave_file(values, bits), mono=False)
    assert rate == 8000 and samples.dtype == np.float32 and samples.shape == (300, channels)
    np.testing.assert_array_equal(samples, np.clip((values / largest).astype(np.float32), -1, 1))


@pytest.mark.parametrize(
    "kind, subtype, tolerance",
    [
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_24", 2**-23),
        ("WAV", "FLOAT", 1e-7),
        ("WAV", "DOUBLE", 1e-7),
        ("WAV", "ULAW", 0.02),
        ("WAVEX", "PCM_24", 2**-23),
        ("RF64", "PCM_16", 2**-15),
        ("FLAC", "PCM_16", 2**-15),
        ("FLAC", "PCM_24", 2**-23),
        ("OGG", "VORBIS", 0.05),
        ("OGG", "OPUS", 0.1),
    ],
)
@pytest.mark.parametrize("samples", [TONE, np.concatenate([TONE, -TONE[::-1]], 1)], ids=["mono", "stereo"])
def test_every_format_comes_back(kind, subtype, tolerance, samples):
    data = encoded(samples, 8000, kind, subtype)
    decoded, rate = read_audio(data, mono=False)
    assert rate == 8000 and decoded.shape == samples.shape
    inner = slice(200, -200) if kind == "OGG" else slice(None)
    np.testing.assert_allclose(decoded[inner], samples[inner], atol=tolerance)
    assert read_audio_header(data) == AudioHeader(4000, samples.shape[1], 8000)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000])
def test_every_rate_becomes_the_nets(rate):
    seconds = np.arange(rate // 2) / rate
    data = encoded(0.5 * np.sin(2 * np.pi * 440 * seconds)[:, None], rate, subtype="PCM_24")
    samples, new_rate = read_audio(data, sample_rate=16000)
    assert new_rate == 16000 and samples.shape == (-(-(rate // 2) * 16000 // rate), 1)
    middle = np.arange(2000, 6000)
    np.testing.assert_allclose(samples[middle, 0], 0.5 * np.sin(2 * np.pi * 440 * middle / 16000), atol=3e-4)
    assert read_audio(data).sample_rate == rate


def test_mono_is_the_mean_of_the_channels():
    data = encoded(STEREO, subtype="FLOAT")
    assert read_audio(data).samples.shape == (4000, 1)
    np.testing.assert_allclose(read_audio(data).samples[:, 0], STEREO.mean(1), atol=1e-6)


def test_a_silent_file_is_zeros():
    for kind in ("WAV", "FLAC"):
        samples, _ = read_audio(encoded(np.zeros((900, 1)), 22050, kind), sample_rate=16000)
        assert samples.shape == (654, 1) and (samples == 0).all()


def test_floats_are_clipped_and_those_of_another_range_are_named():
    samples, _ = read_audio(encoded(1.5 * TONE / 0.6, subtype="FLOAT"))
    assert samples.min() == -1 and samples.max() == 1
    with pytest.raises(UnreadableAudio, match="a.wav: expected samples in -1 to 1, got 19660.*; divide them by"):
        read_audio(encoded(TONE * 32767, subtype="FLOAT"), name="a.wav")
    for value in (np.nan, np.inf):
        broken = TONE.copy()
        broken[7] = value
        with pytest.raises(UnreadableAudio, match="a.wav: has NaN or infinite samples"):
            read_audio(encoded(broken, subtype="FLOAT"), name="a.wav")


CUT = [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("RF64", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS")]


@pytest.mark.parametrize("kind, subtype", CUT)
def test_cut_files_are_named(kind, subtype):
    data = encoded(STEREO.repeat(6, 0), 8000, kind, subtype)
    assert read_audio(data).samples.shape == (24000, 1)
    for share in (0.02, 0.3, 0.9, 0.999):
        with pytest.raises(UnreadableAudio, match=r"^a\.sound: "):
            read_audio(data[: int(share * len(data))], name="a.sound")
    message = {
        "PCM_16": r"the file is cut; 2\.\d\d s of it can be decoded$",
        "FLAC": r"cannot be decoded to its end \(",
        "OPUS": "the file is cut",  # libsndfile does not open it
    }
    message = message.get(kind, message.get(subtype, message["PCM_16"]))
    with pytest.raises(UnreadableAudio, match=rf"^a\.sound: {message}"):
        read_audio(data[: int(0.9 * len(data))], name="a.sound")


def test_an_ogg_file_without_its_last_page_is_cut():
    data = encoded(STEREO.repeat(6, 0), 8000, "OGG", "VORBIS")
    with pytest.raises(UnreadableAudio, match="the file is cut"):
        read_audio(data[: data.rfind(b"OggS")])


def test_streams_of_unknown_length_are_read():
    """As programs write that cannot seek: the sizes in the header are the largest."""
    whole = wave_file((1000 * TONE).astype(int), 16)
    place = whole.index(b"data") + 4
    expected = read_audio(whole).samples
    for size in (0xFFFFFFFF, 0x7FFFF000):
        stream = whole[:4] + struct.pack("<I", size) + whole[8:place] + struct.pack("<I", size) + whole[place + 4 :]
        np.testing.assert_array_equal(read_audio(stream).samples, expected)


def test_streams_that_count_no_samples_are_named():
    whole = wave_file((1000 * TONE).astype(int), 16)
    place = whole.index(b"data") + 4
    with pytest.raises(UnreadableAudio, match="sound: has no samples, as its header counts them"):
        read_audio(whole[:place] + bytes(4) + whole[place + 4 :])
    flac = bytearray(encoded(TONE, kind="FLAC"))
    flac[21] &= 0xF0  # the count of samples, 36 bits
    flac[22:26] = bytes(4)
    with pytest.raises(UnreadableAudio, match="sound: its header does not count its samples, as in a stream"):
        read_audio(bytes(flac))


def test_chunks_before_and_behind_the_samples_are_skipped():
    whole = wave_file((1000 * TONE).astype(int), 16)
    place = whole.index(b"data")
    extra = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"  # odd sizes are padded
    np.testing.assert_array_equal(
        read_audio(whole[:place] + extra + whole[place:] + extra).samples, read_audio(whole).samples
    )


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "the file is empty"),
        (b"RIFF", "cannot be decoded"),
        (b"no sound at all" * 100, "cannot be decoded (Format not recognised.); expected WAV, FLAC or Ogg"),
        (encoded(np.zeros((0, 1))), "has no samples"),
        (encoded(np.zeros((0, 1)), kind="FLAC"), ""),
        (encoded(TONE, kind="AIFF"), "expected WAV, FLAC or Ogg, got AIFF; convert it to WAV"),
        (encoded(TONE, kind="MP3"), "expected WAV, FLAC or Ogg, got MP3; convert it to WAV"),
        (wave_file(np.zeros((9, 1), int), 16, rate=3), "expected a sample rate of 1,000 to 384,000 Hz, got 3"),
    ],
    ids=["empty", "start", "text", "no samples", "no samples flac", "aiff", "mp3", "rate"],
)
def test_other_files_are_named(data, message, tmp_path):
    (tmp_path / "a.wav").write_bytes(data)
    for read in (read_audio, read_audio_header):
        with pytest.raises(UnreadableAudio) as error:
            read(tmp_path / "a.wav")
        assert str(error.value).startswith(f"{tmp_path / 'a.wav'}: {message}") and "\n" not in str(error.value)
    assert issubclass(UnreadableAudio, DataError)


def test_files_of_too_many_samples_are_refused(monkeypatch):
    monkeypatch.setattr(files, "MAX_VALUES", 3999)
    with pytest.raises(UnreadableAudio, match="expected at most 3,999 samples, got 4,000 in 1 channels"):
        read_audio(encoded(TONE))


def test_missing_files_and_folders_are_of_the_operating_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(OSError):
        read_audio(tmp_path)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_edited_files_are_read_or_named(kind):
    data = encoded(STEREO[:1500], 8000, kind)
    for _ in range(60):
        edited = bytearray(data)
        for place in RNG.integers(0, min(len(data), 400), 3):
            edited[place] = RNG.integers(256)
        try:
            samples, rate = read_audio(bytes(edited), name="edited")
        except UnreadableAudio as error:
            assert str(error).startswith("edited: ") and "\n" not in str(error)
        else:
            assert len(samples) and np.isfinite(samples).all() and np.abs(samples).max() <= 1 and rate >= 1000


def test_without_the_extra_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    monkeypatch.delitem(sys.modules, "resnet_jax.audio.files")
    with pytest.raises(ModuleNotFoundError, match=r"soundfile is not installed: pip install 'flax-resnets\[audio\]'"):
        import resnet_jax.audio.files  # noqa: F401
