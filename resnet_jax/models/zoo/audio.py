"""Nets of sound: raw waveforms, keywords, speakers, speech.

Waveforms [N, L, 1]: m5, m11, m18, m34_res (Dai et al. 2016, table 1, 4 seconds at 8 kHz, 10 classes of UrbanSound8K).

Spectrograms [N, frames, bands, 1]:

- res8, res15, res26 and their narrow variants (Tang and Lin 2018, table 1 and 2): 40 coefficients, 12 commands.
- speaker_resnet34: the thin ResNet-34 of Cai et al. 2018, "Exploring the Encoding Layer and Loss Function in End-to-End
  Speaker and Language Recognition System", table 1, with the statistics pooling of x-vectors (Snyder et al. 2018).
- speaker_seresnet34: speechbrain's pre-activated ResNet-34 with squeeze-excite in its first two stages. Both have the
  1,211 speakers of VoxCeleb1's training set.
- quartznet5x5 (Kriman et al. 2019, table 1): 28 letters and the blank of the CTC loss. quartznet5x2_small is not in the
  paper: 128 channels, two convolutions a block.

Every other net of images takes spectrograms too, with `in_channels=1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from resnet_jax.models.attention import SqueezeExcite
from resnet_jax.models.blocks import Residual
from resnet_jax.models.heads import LinearHead
from resnet_jax.models.layers import BatchNorm
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import Stage
from resnet_jax.models.sequence.gated import identity
from resnet_jax.models.sequence.keyword import KeywordBlock, KeywordHead, KeywordNet, KeywordStem
from resnet_jax.models.sequence.net import SequenceNet
from resnet_jax.models.sequence.quartznet import CTCHead, SeparableBranch, SeparableStem
from resnet_jax.models.sequence.speaker import AttentiveStatisticsHead, PreActTriple, StatisticsHead
from resnet_jax.models.sequence.waveform import NormedAdd, PooledBlock, PooledHead, RepeatChannels, WaveformStem
from resnet_jax.models.shortcuts import Project
from resnet_jax.models.spec import ModelSpec, ModuleName, NameTable
from resnet_jax.models.stems import CifarStem
from resnet_jax.models.zoo.imagenet import BASIC_B
from resnet_jax.models.zoo.libraries import in_library

WAVE = Partial(PooledBlock, block=Partial(Residual, shortcut=RepeatChannels, combine=NormedAdd))
SEPARABLE = Partial(Residual, shortcut=Partial(Project, always=True))
SPEAKER = Partial(Residual, branch=PreActTriple, act=identity)


# Names of speechbrain's lobes/models/ResNet.py; its classifier is a file of its own, without the prefix.
SPEECHBRAIN = NameTable(
    (
        ModuleName("conv1", "stem/conv"),
        ModuleName("bn1", "stem/norm"),
        ModuleName("layer{s}.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
        ModuleName("layer{s}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
        ModuleName("layer{s}.{i}.se.fc.0", "stage{s}_block{i}/attend/fc1"),
        ModuleName("layer{s}.{i}.se.fc.2", "stage{s}_block{i}/attend/fc2"),
        ModuleName("layer{s}.{i}.downsample.0", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/norm"),
        ModuleName("attention.0", "head/attend1"),
        ModuleName("attention.2", "head/attend_norm"),
        ModuleName("attention.3", "head/attend2"),
        ModuleName("norm_stats", "head/norm"),
        ModuleName("fc_embed", "head/embed"),
        ModuleName("norm_embed", "head/embed_norm"),
        ModuleName("classifier", "head/dense"),
    )
)


def honk_names(depths: Sequence[int]) -> NameTable:
    """Names of honk's models, whose convolutions and norms are numbered through the net; `depths` of its stages."""
    blocks = [f"stage{stage}_block{block}" for stage, depth in enumerate(depths, 1) for block in range(depth)]
    last = 2 * len(blocks) + 1
    rows = [
        ModuleName(f"{theirs}{2 * number + k}", f"{block}/{ours}{k}")
        for number, block in enumerate(blocks)
        for k in (1, 2)
        for theirs, ours in (("conv", "conv"), ("bn", "norm"))
    ]
    ends = [
        ("conv0", "stem/conv"),
        (f"conv{last}", "head/conv"),
        (f"bn{last}", "head/norm"),
        ("output", "head/dense"),
    ]
    return NameTable((*rows, *(ModuleName(*names) for names in ends)))


def _waveform(
    depths: Sequence[int], features: Sequence[int], block: Any = PooledBlock, head: Any = LinearHead
) -> ModelSpec:
    """Stages of `depths` blocks, with pools of 4 between them; the stem has `features[0]` channels."""
    strides = (1, *(4,) * (len(depths) - 1))
    build = Partial(
        SequenceNet,
        stages=tuple(Stage(*row, block) for row in zip(depths, features, strides, strict=True)),
        in_channels=1,
        num_classes=10,
        stem=WaveformStem,
        stem_features=features[0],
        head=head,
    )
    return ModelSpec(build, "waveform", image_size=(32000,), input_kind="waveform")


def _keyword(dilations: Sequence[tuple[int, int]], pool: tuple[int, int], width: int, last: int | None) -> ModelSpec:
    """A block for each pair of `dilations`; equal neighbours form a stage. `pool`: frames and bands of a mean.

    `last` is the dilation of the convolution in the head.
    """
    stages = tuple(
        Stage(len(list(blocks)), width, 1, Partial(KeywordBlock, dilations=pair)) for pair, blocks in groupby(dilations)
    )
    build = Partial(
        KeywordNet,
        stages=stages,
        in_channels=1,
        num_classes=12,
        stem=Partial(KeywordStem, total_strides=pool[0], bands=pool[1]),
        stem_features=width,
        head=Partial(KeywordHead, dilation=last),
        norm=Partial(BatchNorm, is_affine=False),
    )
    tables = {"honk": honk_names([stage.depth for stage in stages])}
    return ModelSpec(build, "keyword", image_size=(101, 40), name_tables=tables, input_kind="spectrogram")


def _speaker(features: Sequence[int], blocks: Sequence[Any], head: Any, bands: int) -> ModelSpec:
    rows = zip((3, 4, 6, 3), features, (1, 2, 2, 2), blocks, strict=True)
    build = Partial(
        SequenceNet,
        stages=tuple(Stage(*row) for row in rows),
        in_channels=1,
        num_classes=1211,
        stem=CifarStem,
        stem_features=features[0],
        head=head,
    )
    return ModelSpec(build, "speaker", image_size=(400, bands), input_kind="spectrogram")


def _quartznet(features: Sequence[int], repeats: int, head_features: int) -> ModelSpec:
    """A block for each of `features`; the stem has the first block's."""
    stages = tuple(
        Stage(1, width, 1, Partial(SEPARABLE, branch=Partial(SeparableBranch, repeats=repeats, kernel_size=size)))
        for width, size in zip(features, (33, 39, 51, 63, 75), strict=True)
    )
    build = Partial(
        SequenceNet,
        stages=stages,
        in_channels=1,
        num_classes=29,
        stem=SeparableStem,
        stem_features=features[0],
        head=Partial(CTCHead, features=head_features),
        norm=Partial(BatchNorm, epsilon=1e-3),
    )
    return ModelSpec(build, "quartznet", image_size=(512, 64), input_kind="spectrogram")


KEYWORD: dict[str, Any] = {
    "res8": {"dilations": [(1, 1)] * 3, "pool": (4, 3), "last": None},
    "res15": {"dilations": [(1, 1), (1, 2), (2, 2), (4, 4), (4, 8), (8, 8)], "pool": (1, 1), "last": 16},
    "res26": {"dilations": [(1, 1)] * 12, "pool": (2, 2), "last": None},
}

MODELS = {
    "m5": _waveform((1, 1, 1), (128, 256, 512), head=PooledHead),
    "m11": _waveform((2, 2, 3, 2), (64, 128, 256, 512)),
    "m18": _waveform((4, 4, 4, 4), (64, 128, 256, 512)),
    "m34_res": _waveform((3, 4, 6, 3), (48, 96, 192, 384), WAVE),
}
MODELS |= {
    f"{name}{suffix}": _keyword(width=width, **row)
    for name, row in KEYWORD.items()
    for suffix, width in (("", 45), ("_narrow", 19))
}
MODELS |= {
    "speaker_resnet34": _speaker((16, 32, 64, 128), (BASIC_B,) * 4, StatisticsHead, bands=64),
    "speaker_seresnet34": _speaker(
        (128, 128, 256, 256),
        (Partial(SPEAKER, attend=Partial(SqueezeExcite, ratio=1)),) * 2 + (SPEAKER,) * 2,
        AttentiveStatisticsHead,
        bands=80,
    ),
    "quartznet5x5": _quartznet((256, 256, 512, 512, 512), repeats=5, head_features=1024),
    "quartznet5x2_small": _quartznet((128,) * 5, repeats=2, head_features=256),
}
MODELS = in_library(MODELS, ["speaker_seresnet34"], speechbrain=SPEECHBRAIN)
