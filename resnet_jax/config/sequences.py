"""Options of series, sounds and texts: groups of `schema.DataConfig`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from resnet_jax.config.fields import (
    BETA,
    COUNT,
    DECIBELS,
    FACTOR,
    FRAME,
    MASKS,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    SHIFT,
    Place,
    between,
    option,
)

TOKENS = between(1, 2**24)  # of a text


@dataclass(frozen=True)
class SeriesConfig:
    """Time series: files .ts, .tsv, .csv and .npz."""

    normalise: Literal["each", "train", "none"] = option(
        "each", "each: every series to mean 0 and deviation 1; train: by numbers of the training series; none"
    )
    missing: Literal["error", "linear"] = option("error", "missing values inside a series; linear: interpolate")


@dataclass(frozen=True)
class AudioConfig:
    """Sounds: files WAV, FLAC and OGG (extra `audio`)."""

    sample_rate: int = option(16000, "Hz; files with another are resampled", between(1000, 384_000))
    seconds: float | None = option(
        None, "length of every clip, which is cut or padded with silence", POSITIVE, none="each its own"
    )
    front_end: Literal["waveform", "log_mel", "mfcc"] | None = option(
        None, "what the net gets of a sound", none="waveform for nets of waveforms, log_mel for others"
    )
    window: float = option(0.025, "of spectrograms: seconds of a frame", FRAME)
    hop: float = option(0.01, "of spectrograms: seconds from frame to frame", FRAME)
    bands: int = option(64, "of spectrograms: mel bands", between(1, 1024))
    coefficients: int = option(40, "of MFCC: coefficients", between(1, 1024))
    low: float = option(0.0, "of spectrograms: lowest frequency, Hz", NOT_NEGATIVE)
    high: float | None = option(None, "of spectrograms: highest frequency, Hz", POSITIVE, none="half the sample rate")
    convention: Literal["torchaudio", "librosa"] = option("torchaudio", "whose mel filters and padding")
    normalise: Literal["each", "train", "none"] | None = option(
        None,
        "each: every example, per band; train: by numbers of the training spectrograms; none",
        none="train for spectrograms, each for waveforms",
    )
    shift: float = option(0.0, "in training: seconds by which sounds are moved to either side, at most", SHIFT)
    noise: Place | None = option(None, "in training: sounds, in a folder, of which parts are added", none="none")
    noise_ratio: tuple[float, float] = option(
        (0.0, 20.0), "with noise: bounds of the signal-to-noise ratio, decibels", DECIBELS
    )
    noise_probability: float = option(1.0, "with noise: share of the sounds that get it", PROBABILITY)
    mask_bands: tuple[int, int] = option((0, 0), "in training: masks of bands, and bands of each at most", MASKS)
    mask_frames: tuple[int, int] = option((0, 0), "in training: masks of frames, and frames of each at most", MASKS)
    mask_share: float = option(1.0, "with mask_frames: share of a sound that a mask covers, at most", FACTOR)
    mixup: float = option(0.0, "in training: mixup with shares from Beta(alpha, alpha), this alpha; 0: off", BETA)


@dataclass(frozen=True)
class CaptionConfig:
    """Captions of images."""

    tokens: Literal["words", "clip"] = option(
        "words", "what the net reads: the words of the training's captions, or CLIP's byte pairs (extra clip)"
    )
    length: int = option(77, "tokens of every caption, with the start and the end; longer ones are cut", TOKENS)


@dataclass(frozen=True)
class TextConfig:
    """Texts: files .txt, .csv, .tsv, .jsonl."""

    tokens: Literal["characters", "words"] = option("characters", "what the net reads")
    length: int | None = option(
        None, "tokens of every text, which is cut or padded, and padding counts; of language models: of a window",
        TOKENS, none="each its own; of language models 256"
    )  # fmt: skip
    context: int | None = option(
        None, "of language models: first tokens of a test window that repeat the one before", COUNT, none="a quarter"
    )
    vocabulary: Annotated[str, "vdcnn|data|FILE"] | None = option(
        None,
        "the 69 characters of VDCNN, the tokens of the training texts, or a file with a token a line",
        none="vdcnn for characters of a classifier, else data",
    )
    most: int | None = option(None, "with the vocabulary data: its size at most", COUNT, none="all tokens")
    least_count: int = option(1, "with the vocabulary data: rarer tokens are unknown", COUNT)
    lowercase: bool | None = option(None, "put texts into lower case", none="with vdcnn")
    split: Literal["words", "spaces"] = option("words", "with words: at spaces and signs, or at spaces alone")
