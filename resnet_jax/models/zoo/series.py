"""Nets of time series [N, L, C].

tsc_resnet and tsc_fcn: Wang, Yan and Oates 2017, "Time Series Classification from Scratch with Deep Neural Networks",
with the kernels 8, 5 and 3. An even kernel is padded as Keras' "same" does, and norms have Keras' epsilon and decay,
kernels its initialiser. Convolutions before norms have no bias: it would not change the function. tsai's nets of these
names have other kernels, which their name tables say.

inception_time: Ismail Fawaz et al. 2020, "InceptionTime: Finding AlexNet for Time Series Classification", one of the
five nets of the ensemble; a shortcut around every third module.

xresnet1d18, 34, 50 and 101: the D nets of He et al. 2018, "Bag of Tricks", in one dimension, as in fastai and tsai.

tcn: Bai, Kolter and Koltun 2018, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
Modeling": causal convolutions with weight normalisation and dilations 1, 2, 4, ...; 8 blocks of 25 channels, the
authors' net of sequential MNIST. It classifies by the last position, tsai's net of this name by the mean. The authors
drop values behind each convolution, for sequential MNIST with `layer_drop_rate=0.05`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Basic, Bottleneck
from resnet_jax.models.heads import LinearHead
from resnet_jax.models.initializers import glorot_uniform, linear_uniform
from resnet_jax.models.layers import BatchNorm, Conv
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import Stage
from resnet_jax.models.sequence.components import (
    BiasedProject,
    ConvBlock,
    ConvStack,
    DilatedConvs,
    IdentityStem,
    Inception,
    LastHead,
    NormProject,
)
from resnet_jax.models.sequence.layers import WeightNormConv
from resnet_jax.models.sequence.net import SequenceNet
from resnet_jax.models.shortcuts import PooledProject, Project
from resnet_jax.models.spec import ModelSpec, ModuleName, NameTable
from resnet_jax.models.stems import DeepStem
from resnet_jax.models.zoo.imagenet import BASIC_FEATURES, BOTTLENECK_FEATURES, R18, R34, R50, R101

KERAS: dict[str, Any] = {
    "stem": IdentityStem,
    "conv": Partial(Conv, kernel_init=glorot_uniform),
    "norm": Partial(BatchNorm, epsilon=1e-3, decay=0.99),
}
TCN: dict[str, Any] = {
    "stem": IdentityStem,
    "conv": Partial(WeightNormConv, kernel_init=linear_uniform),
    "head": LastHead,
    "num_classes": 10,
}


def resnet_stages(kernels: tuple[int, ...] = (8, 5, 3)) -> tuple[Stage, ...]:
    """Stages of tsc_resnet: three blocks, each with a convolution for each of `kernels`."""
    block = Partial(Residual, branch=Partial(ConvStack, kernels=kernels), shortcut=NormProject)
    return tuple(Stage(1, features, 1, block) for features in (64, 128, 128))


def fcn_stages(kernels: Sequence[int] = (8, 5, 3)) -> tuple[Stage, ...]:
    """Stages of tsc_fcn: a convolution each."""
    rows = zip((128, 256, 128), kernels, strict=True)
    return tuple(Stage(1, features, 1, Partial(ConvBlock, kernel_size=size)) for features, size in rows)


def inception_stages(kernels: tuple[int, ...] = (40, 20, 10), shortcut: Any = None) -> tuple[Stage, ...]:
    """Stages of inception_time: two blocks of three modules. `shortcut`: a 1x1 convolution and a norm, or another."""
    branch = Partial(Inception, kernels=kernels)
    block = Partial(Residual, branch=branch, shortcut=shortcut or Partial(Project, always=True))
    return (Stage(1, 128, 1, block), Stage(1, 128, 1, block))


def tcn_stages(features: Sequence[int] = (25,) * 8, kernel_size: int = 7) -> tuple[Stage, ...]:
    """Stages of a tcn: a block each, with dilations 1, 2, 4, ..."""
    branches = [Partial(DilatedConvs, kernel_size=kernel_size, dilation=2**i) for i in range(len(features))]
    blocks = [Partial(Residual, branch=branch, shortcut=BiasedProject) for branch in branches]
    return tuple(Stage(1, width, 1, block) for width, block in zip(features, blocks, strict=True))


TORCH_NORM = Partial(BatchNorm, epsilon=1e-5, decay=0.9)
# Names of tsai's nets.
CLASSIFIER = ModuleName("fc", "head/dense")
TSAI_RESNET = NameTable(
    (
        ModuleName("resblock{s}.convblock{k}.0", "stage{s}_block0/branch/conv{k}"),
        ModuleName("resblock{s}.convblock{k}.1", "stage{s}_block0/branch/norm{k}"),
        ModuleName("resblock3.shortcut", "stage3_block0/shortcut/norm"),
        ModuleName("resblock{s}.shortcut.0", "stage{s}_block0/shortcut/conv"),
        ModuleName("resblock{s}.shortcut.1", "stage{s}_block0/shortcut/norm"),
        CLASSIFIER,
    ),
    overrides={"stages": resnet_stages((7, 5, 3)), "norm": TORCH_NORM},
)
TSAI_FCN = NameTable(
    (
        ModuleName("convblock{s}.0", "stage{s}_block0/conv"),
        ModuleName("convblock{s}.1", "stage{s}_block0/norm"),
        CLASSIFIER,
    ),
    overrides={"stages": fcn_stages((7, 5, 3)), "norm": TORCH_NORM},
)
TSAI_INCEPTION = NameTable(
    (
        *(
            ModuleName(f"inceptionblock.inception.{3 * t + i}.{theirs}", f"stage{t + 1}_block0/branch/module{i}/{ours}")
            for t in range(2)
            for i in range(3)
            for theirs, ours in (
                ("bottleneck", "reduce"),
                ("convs.{l}", "conv{k}"),
                ("maxconvpool.1", "pool_conv"),
                ("bn", "norm"),
            )
        ),
        ModuleName("inceptionblock.shortcut.0.0", "stage1_block0/shortcut/conv"),
        ModuleName("inceptionblock.shortcut.0.1", "stage1_block0/shortcut/norm"),
        ModuleName("inceptionblock.shortcut.1", "stage2_block0/shortcut/norm"),
        CLASSIFIER,
    ),
    overrides={"stages": inception_stages((39, 19, 9), NormProject), "norm": TORCH_NORM},
)
TSAI_XRESNET = NameTable(
    (
        ModuleName("{l}.0", "stem/conv{k}"),
        ModuleName("{l}.1", "stem/norm{k}"),
        *(
            ModuleName(f"{s + 3}.{{i}}.{theirs}", f"stage{s}_block{{i}}/{ours}")
            for s in (1, 2, 3, 4)
            for theirs, ours in (
                ("convpath.{l}.0", "branch/conv{k}"),
                ("convpath.{l}.1", "branch/norm{k}"),
                (f"idpath.{int(s > 1)}.0", "shortcut/conv"),  # behind a pool
                (f"idpath.{int(s > 1)}.1", "shortcut/norm"),
            )
        ),
        ModuleName("11", "head/dense"),
    )
)
TSAI_TCN = NameTable(
    (
        ModuleName("tcn.{t}.conv{k}", "stage{s}_block0/branch/conv{k}", is_weight_normed=True),
        ModuleName("tcn.{t}.downsample", "stage{s}_block0/shortcut/conv"),
        ModuleName("linear", "head/dense"),
    ),
    overrides={"head": LinearHead},
    # A block holds its convolutions twice, by themselves and in a sequence.
    copies=tuple((rf"(tcn\.\d+)\.conv{k}\.(\w+)", rf"\1.net.{place}.\2") for k, place in ((1, 0), (2, 4))),
)


def _series(family: str, stages: tuple[Stage, ...], length: int, tsai: NameTable, **fields: Any) -> ModelSpec:
    build = Partial(SequenceNet, **{"stages": stages, "in_channels": 1, "num_classes": 2} | fields)
    return ModelSpec(build, family, (length,), {"tsai": tsai}, input_kind="series")


def _xresnet(depths: Sequence[int], features: Sequence[int], branch: Any) -> ModelSpec:
    block = Partial(Residual, branch=branch, shortcut=PooledProject)
    rows = zip(depths, features, (1, 2, 2, 2), strict=True)
    stages = tuple(Stage(depth, width, strides, block) for depth, width, strides in rows)
    return _series("xresnet1d", stages, 250, TSAI_XRESNET, stem=DeepStem)


MODELS = {
    "tsc_resnet": _series("tsc_resnet", resnet_stages(), 150, TSAI_RESNET, **KERAS),
    "tsc_fcn": _series("tsc_fcn", fcn_stages(), 150, TSAI_FCN, **KERAS),
    "inception_time": _series("inception_time", inception_stages(), 150, TSAI_INCEPTION, **KERAS),
    "xresnet1d18": _xresnet(R18, BASIC_FEATURES, Basic),
    "xresnet1d34": _xresnet(R34, BASIC_FEATURES, Basic),
    "xresnet1d50": _xresnet(R50, BOTTLENECK_FEATURES, Bottleneck),
    "xresnet1d101": _xresnet(R101, BOTTLENECK_FEATURES, Bottleneck),
    "tcn": _series("tcn", tcn_stages(), 784, TSAI_TCN, **TCN),
}
