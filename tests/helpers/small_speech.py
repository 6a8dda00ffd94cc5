"""Sounds that "spell" their transcripts with a tone for each character, a net for them, and configs of runs."""

from dataclasses import replace

import numpy as np
from sounds import wave_bytes

from resnet_jax.config import (
    AudioConfig,
    CheckpointConfig,
    Config,
    DataConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from resnet_jax.models.blocks import Residual
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import Stage
from resnet_jax.models.sequence.net import SequenceNet
from resnet_jax.models.sequence.quartznet import CTCHead, SeparableBranch, SeparableStem
from resnet_jax.models.spec import ModelSpec

BLOCK = Partial(Residual, branch=Partial(SeparableBranch, repeats=1, kernel_size=3))
# A net of few channels, for `monkeypatch.setitem(MODELS, *ROW)`.
ROW = (
    "small_speech",
    ModelSpec(
        Partial(
            SequenceNet,
            stages=(Stage(1, 16, 1, BLOCK),),
            in_channels=1,
            num_classes=3,
            stem=Partial(SeparableStem, kernel_size=3),
            stem_features=16,
            head=Partial(CTCHead, features=16, kernel_size=3),
        ),
        "quartznet",
        (32, 8),
        name="small_speech",
        input_kind="spectrogram",
    ),
)
TONES = {"a": 500.0, "b": 1500.0, " ": 0.0}  # Hz
TEXTS = {"train": "ab ba a b aab abb bab aba bba abab b".split() + ["a b", "b a"], "test": ["ba", "abba", "a", "b a b"]}
RATE = 8000


def write_speech(folder, texts=TEXTS, seed=0):
    """A sound for each text, a tenth of a second a character, with a pause behind it; and metadata.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, rows = np.random.default_rng(seed), ["file_name,text,label,split"]
    for split, some in texts.items():
        for number, text in enumerate(some):
            tones = [0.5 * np.sin(2 * np.pi * TONES[c] * np.arange(800) / RATE) for c in text]
            samples = np.concatenate([part for tone in tones for part in (tone, np.zeros(400))])
            samples += 0.005 * rng.standard_normal(len(samples))
            (folder / f"{split}{number}.wav").write_bytes(wave_bytes(samples, RATE))
            rows.append(f"{split}{number}.wav,{text},{'long' if len(text) > 2 else 'short'},{split}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def config(workdir, path, **changes):
    """A run of the net of `ROW` that writes transcripts."""
    base = Config(
        workdir=str(workdir),
        task="transcription",
        model=ModelConfig(name=ROW[0]),
        data=DataConfig(
            path=str(path),
            batch_size=4,
            eval_batch_size=2,
            buckets=2,
            audio=AudioConfig(sample_rate=RATE, window=0.032, hop=0.016, bands=8, normalise="each"),
        ),
        optim=OptimConfig(optimizer="adamw", peak_lr=0.02, warmup_epochs=0.0, weight_decay=0.0),
        train=TrainConfig(epochs=4.0, log_every_steps=3, eval_every_epochs=2.0),
        checkpoint=CheckpointConfig(keep_latest=5),
        log=LogConfig(tensorboard=False),
    )
    for name, value in changes.items():
        group, _, field = name.partition("__")
        change = value if not field else replace(getattr(base, group), **{field: value})
        base = replace(base, **{group: change})
    return base
