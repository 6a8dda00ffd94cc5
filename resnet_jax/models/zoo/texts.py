"""Nets of texts: VDCNN for classes, gated convolutional nets for the next token.

vdcnn9 to 49 (Conneau et al. 2017, "Very Deep Convolutional Networks for Text Classification", figure 1 and table 2)
read 1,024 characters; the number counts convolutions. `_shortcut` has the optional residual connections of figure 1,
the others are plain, as the best nets of the paper are. `num_classes` is that of AG News.
Without the head they have 1.58, 3.67, 4.04 and 7.17 M parameters where table 2 has 2.2, 4.3, 4.6 and 7.8 M, not saying
what it counts. Were every convolution of a level as wide as its output, they would have 2.09, 4.18, 4.55 and 7.67 M.

gcnn13, 14 and 14b (Dauphin et al. 2017, "Language Modeling with Gated Convolutional Networks", table 1) have the layers
of the authors' configurations `fconv_lm`, `fconv_lm_dauphin_wikitext103` and `fconv_lm_dauphin_gbw` in fairseq: the
number counts residual blocks, b has bottlenecks. `num_classes` is the number of words of the Billion Word Benchmark, of
WikiText-103 for gcnn14. gcnn8_char is a small one for characters, which is in no paper: 33 characters of context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_jax.models.blocks import Residual
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import Stage
from resnet_jax.models.sequence.adaptive_head import AdaptiveHead
from resnet_jax.models.sequence.gated import GatedConvs, HalvedAdd, LanguageNet, ProjectionStem, TokenHead, identity
from resnet_jax.models.sequence.k_max_head import KMaxHead
from resnet_jax.models.sequence.layers import WeightNormConv
from resnet_jax.models.sequence.tokens import TokenNet, TokenStem
from resnet_jax.models.shortcuts import Project, Zero
from resnet_jax.models.spec import ModelSpec
from resnet_jax.models.stems import MaxPool

DEPTHS = {9: (1, 1, 1, 1), 17: (2, 2, 2, 2), 29: (5, 5, 2, 2), 49: (8, 8, 5, 3)}  # blocks of 64, 128, 256, 512 channels
CHARACTERS = 69  # with padding, unknown and space


def _vdcnn(depths: Sequence[int], shortcut: Any) -> ModelSpec:
    block = Partial(Residual, shortcut=shortcut, pool=MaxPool)
    stages = tuple(
        Stage(depth, width, strides, block)
        for depth, width, strides in zip(depths, (64, 128, 256, 512), (1, 2, 2, 2), strict=True)
    )
    build = Partial(
        TokenNet,
        stages=stages,
        num_classes=4,
        in_channels=16,
        stem=TokenStem,
        stem_features=64,
        head=KMaxHead,
        vocabulary_size=CHARACTERS,
    )
    return ModelSpec(build, "vdcnn", image_size=(1024,), input_kind="tokens")


# (blocks, features, positions of the kernel, width of the bottleneck or None) of each stage.
Layers = Sequence[tuple[int, int, int, int | None]]
GCNN13 = ((13, 1268, 4, None),)
GCNN14 = (
    *((3, 850, 6, None), (1, 850, 1, None), (4, 850, 5, None), (1, 850, 1, None), (3, 850, 4, None)),
    *((1, 1024, 4, None), (1, 2048, 4, None)),
)
GCNN14B = ((1, 512, 5, None), (3, 512, 5, 128), (3, 1024, 5, 512), (6, 2048, 5, 1024), (1, 4096, 5, 1024))
BILLION_WORDS, WIKITEXT_103 = 793_471, 267_735  # words of the vocabularies


def _gcnn(layers: Layers, words: int, embedding: int, length: int, head: Any) -> ModelSpec:
    stages = tuple(
        Stage(
            depth,
            features,
            1,
            Partial(
                Residual,
                branch=Partial(GatedConvs, kernel_size=size, width=width),
                shortcut=Partial(Project, normed=False),
                combine=HalvedAdd,
            ),
        )
        for depth, features, size, width in layers
    )
    build = Partial(
        LanguageNet,
        stages=stages,
        num_classes=words,
        in_channels=embedding,
        stem=ProjectionStem,
        stem_features=layers[0][1],
        head=head,
        conv=WeightNormConv,
        act=identity,
    )
    return ModelSpec(build, "gcnn", image_size=(length,), input_kind="tokens")


ADAPTIVE = {cutoff: Partial(AdaptiveHead, cutoffs=(10_000, cutoff, 200_000)) for cutoff in (20_000, 50_000)}

MODELS = {f"vdcnn{layers}": _vdcnn(depths, Zero) for layers, depths in DEPTHS.items()}
MODELS |= {f"vdcnn{layers}_shortcut": _vdcnn(depths, Project) for layers, depths in DEPTHS.items()}
MODELS |= {
    "gcnn13": _gcnn(GCNN13, BILLION_WORDS, 128, 64, ADAPTIVE[50_000]),
    "gcnn14": _gcnn(GCNN14, WIKITEXT_103, 280, 64, ADAPTIVE[20_000]),
    "gcnn14b": _gcnn(GCNN14B, BILLION_WORDS, 128, 64, ADAPTIVE[50_000]),
    "gcnn8_char": _gcnn(((8, 128, 5, None),), 128, 32, 256, TokenHead),
}
