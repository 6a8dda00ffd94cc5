"""Audio files to waveforms. The only file that decodes sound; soundfile is an optional package."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_jax.audio.cut_files import is_cut
from resnet_jax.audio.resampling import resample
from resnet_jax.errors import UnreadableAudio, one_line
from resnet_jax.extras import extra
from resnet_jax.files import expanded

with extra():
    import soundfile

FORMATS = {"WAV": "WAV", "WAVEX": "WAV", "RF64": "WAV", "FLAC": "FLAC", "OGG": "Ogg"}  # of those that libsndfile reads
MAX_VALUES = 2**27  # samples of all channels: half a gigabyte once decoded. A small FLAC can hold far more.
RATES = (1_000, 384_000)  # Hz: a filter for others, which corrupted files have, takes gigabytes
BLOCK = 2**16  # samples that are decoded at a time, so that no header reserves memory
UNKNOWN_LENGTH = 2**62  # libsndfile counts more samples than this in a FLAC stream, and cannot seek in it
NO_SAMPLES = "{}: has no samples, as its header counts them"
LARGEST = 8.0  # of float samples: above it they are probably not scaled to -1 to 1


class Waveform(NamedTuple):
    """Samples float32 [L, C] in -1 to 1, and their number per second."""

    samples: np.ndarray
    sample_rate: int


class AudioHeader(NamedTuple):
    """What a file says of itself: samples of a channel, channels, samples per second."""

    samples: int
    channels: int
    sample_rate: int


def read_audio(
    file: str | Path | bytes, *, sample_rate: int | None = None, mono: bool = True, name: str | None = None
) -> Waveform:
    """The sound of a WAV, FLAC or Ogg file, of any sample rate and 8 to 32 bits, as float32 [L, C] in -1 to 1.

    Integers are divided by their range (32768 of 16 bits). What exceeds -1 to 1 in files of floats, or behind a lossy
    decoder, is clipped. A silent file gives zeros.

    Args:
      file: a path, or the contents of a file.
      sample_rate: Hz; other files are resampled. None: that of the file.
      mono: the mean of all channels, [L, 1].
      name: what messages call it; the default is the path.

    Raises:
      OSError: the file cannot be opened.
      UnreadableAudio: it is empty, cut, corrupted, too long or of another kind, or has NaN or infinite samples.
      MissingExtra: soundfile or SciPy is not installed.
    """
    data, name = _contents(file, name)
    with _open(data, name) as sound:
        rate, expected = sound.samplerate, sound.frames
        samples = _decode(sound, name)
    if is_cut(data) or len(samples) < expected:
        raise UnreadableAudio(f"{name}: the file is cut; {len(samples) / rate:.2f} s of it can be decoded")
    if not len(samples):
        raise UnreadableAudio(NO_SAMPLES.format(name))
    samples = _checked(samples, name)
    if mono and samples.shape[1] > 1:
        samples = samples.mean(1, keepdims=True, dtype=np.float32)
    if sample_rate is not None and sample_rate != rate:
        samples, rate = resample(samples, rate, sample_rate), sample_rate
    return Waveform(np.clip(samples, -1, 1), rate)


def read_audio_header(file: str | Path | bytes, *, name: str | None = None) -> AudioHeader:
    """Length, channels and sample rate of a file, without decoding it. Raises as `read_audio` does."""
    data, name = _contents(file, name)
    with _open(data, name) as sound:
        if is_cut(data):
            raise UnreadableAudio(f"{name}: the file is cut")
        if not sound.frames:
            raise UnreadableAudio(NO_SAMPLES.format(name))
        return AudioHeader(sound.frames, sound.channels, sound.samplerate)


def _contents(file: str | Path | bytes, name: str | None) -> tuple[bytes, str]:
    data = file if isinstance(file, bytes) else expanded(file).read_bytes()
    name = name or ("sound" if isinstance(file, bytes) else str(file))
    if not data:
        raise UnreadableAudio(f"{name}: the file is empty")
    return data, name


def _open(data: bytes, name: str) -> soundfile.SoundFile:
    try:
        sound = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.SoundFileError as error:
        reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else one_line(error)
        cut = "the file is cut" if is_cut(data) else f"cannot be decoded ({reason}); expected WAV, FLAC or Ogg"
        raise UnreadableAudio(f"{name}: {cut}") from None
    problem = None
    if sound.format not in FORMATS:
        problem = f"expected WAV, FLAC or Ogg, got {sound.format}; convert it to WAV"
    elif not RATES[0] <= sound.samplerate <= RATES[1]:
        problem = f"expected a sample rate of {RATES[0]:,} to {RATES[1]:,} Hz, got {sound.samplerate:,}"
    elif not 0 <= sound.frames < UNKNOWN_LENGTH:
        problem = "its header does not count its samples, as in a stream; encode it again"
    elif sound.frames * sound.channels > MAX_VALUES:
        got = f"{sound.frames:,} in {sound.channels} channels"
        problem = f"expected at most {MAX_VALUES:,} samples, got {got}; cut it into shorter files"
    if problem:
        sound.close()
        raise UnreadableAudio(f"{name}: {problem}")
    return sound


def _decode(sound: soundfile.SoundFile, name: str) -> np.ndarray:
    """float32 [L, C] of an opened file."""
    blocks = [np.zeros((0, sound.channels), np.float32)]
    try:
        while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
            blocks.append(block)
    except soundfile.SoundFileError as error:  # a FLAC that is cut, among others
        raise UnreadableAudio(f"{name}: cannot be decoded to its end ({one_line(error)})") from None
    return np.concatenate(blocks)


def _checked(samples: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(samples).all():
        raise UnreadableAudio(f"{name}: has NaN or infinite samples")
    if (largest := float(np.abs(samples).max())) > LARGEST:
        raise UnreadableAudio(f"{name}: expected samples in -1 to 1, got {largest:g}; divide them by their range")
    return samples
