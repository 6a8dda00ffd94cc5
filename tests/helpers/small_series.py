"""Small sets of series of unequal lengths, as .ts files, and configs of runs on them."""

from dataclasses import replace

import numpy as np

from resnet_jax.config import (
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
from resnet_jax.models.sequence.components import ConvStack, IdentityStem, NormProject
from resnet_jax.models.sequence.net import SequenceNet
from resnet_jax.models.spec import ModelSpec

BLOCK = Partial(Residual, branch=Partial(ConvStack, kernels=(4, 3)), shortcut=NormProject)
# A net of two short convolutions, for `monkeypatch.setitem(MODELS, *ROW)`.
ROW = (
    "small_series",
    ModelSpec(
        Partial(
            SequenceNet,
            stages=(Stage(1, 4, 1, BLOCK),),
            stem=IdentityStem,
            in_channels=1,
            num_classes=2,
        ),
        "small",
        (16,),
        name="small_series",
        input_kind="series",
    ),
)
CLASSES = ("fall", "rise")
LENGTHS = {"TRAIN": (9, 5, 12, 7, 16, 6, 11, 5, 8, 14, 6), "TEST": (6, 20, 8, 5, 11)}  # a test series is the longest
HEADER = "@problemName small\n@timestamps false\n@univariate false\n@dimensions {}\n@equalLength false\n"


def write_series(folder, lengths=LENGTHS, channels=2, seed=0, name="small", classes=CLASSES):
    """`name`_TRAIN.ts and _TEST.ts: noisy lines that rise or fall, by turns."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for split, sizes in lengths.items():
        lines = [HEADER.format(channels) + f"@classLabel true {' '.join(classes)}\n@data"]
        for number, length in enumerate(sizes):
            slope = np.linspace(-1, 1, length) * (1 if number % 2 else -1)
            series = slope + 0.3 * rng.standard_normal((channels, length))
            channel_texts = [",".join(f"{value:.5f}" for value in channel) for channel in series]
            lines.append(":".join([*channel_texts, classes[number % 2]]))
        (folder / f"{name}_{split}.ts").write_text("\n".join(lines) + "\n")
    return folder


def config(workdir, path, **changes):
    """Two epochs, of six steps of two series, of the net of `ROW`."""
    base = Config(
        workdir=str(workdir),
        model=ModelConfig(name=ROW[0]),
        data=DataConfig(path=str(path), batch_size=2, eval_batch_size=2, last_batch="keep", buckets=2),
        optim=OptimConfig(optimizer="adamw", peak_lr=0.01, warmup_epochs=0.0, weight_decay=0.0),
        train=TrainConfig(epochs=2.0, log_every_steps=3, eval_every_epochs=1.0),
        checkpoint=CheckpointConfig(keep_latest=5),
        log=LogConfig(tensorboard=False),
    )
    for name, value in changes.items():
        group, field = name.split("__")
        base = replace(base, **{group: replace(getattr(base, group), **{field: value})})
    return base
