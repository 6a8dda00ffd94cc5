"""Pre-activation nets of He et al. 2016, "Identity Mappings in Deep Residual Networks", and their successors.

resnetv2_* are timm's nets for ImageNet; `_bit` are those of Kolesnikov et al. 2019, "Big Transfer", with group norms
and standardised kernels, x2 and x3 times as wide. cifar_preresnet are the paper's nets: 110 of basic blocks, 164 and
1001 of bottlenecks. cifar_wrnD_K are those of Zagoruyko and Komodakis 2016, "Wide Residual Networks": D layers, K times
as wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_jax.models.blocks import PreActResidual
from resnet_jax.models.branches import PreActBottleneck
from resnet_jax.models.heads import NormHead
from resnet_jax.models.layers import GroupNorm, StandardizedConv
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.spec import HALF, ModelSpec, ModuleName, NameTable
from resnet_jax.models.stems import CifarStem, DeepStem, ImageNetStem, PaddedMaxPool
from resnet_jax.models.zoo.imagenet import BOTTLENECK_FEATURES, R50, R101, R152, net
from resnet_jax.models.zoo.libraries import BIT, TRANSFORMERS_BIT, in_library
from resnet_jax.types import Preprocess

STEM = Partial(ImageNetStem, bare=True)
BASIC = Partial(PreActResidual)
BOTTLENECK = Partial(PreActResidual, branch=PreActBottleneck)
BOTTLENECK_D = Partial(BOTTLENECK, shortcut=Partial(PooledProject, normed=False))


# Names of timm's resnetv2.py.
TIMM = NameTable(
    (
        ModuleName("stem.conv{k}", "stem/conv{k}"),
        ModuleName("stem.norm{k}", "stem/norm{k}"),
        ModuleName("stem.conv", "stem/conv"),
        ModuleName("stages.{t}.blocks.{i}.norm1", "stage{s}_block{i}/norm1"),
        ModuleName("stages.{t}.blocks.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
        ModuleName("stages.{t}.blocks.{i}.norm{k}", "stage{s}_block{i}/branch/norm{k}"),
        ModuleName("stages.{t}.blocks.{i}.downsample.conv", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("norm", "head/norm"),
        ModuleName("head.fc", "head/dense", is_conv1x1=True),
    )
)


def _v2(
    depths: Sequence[int],
    block: Any = BOTTLENECK,
    stem: Any = STEM,
    *,
    family: str = "resnetv2",
    width: int = 1,
    image_size: int = 224,
    **fields: Any,
) -> ModelSpec:
    features = [width * channels for channels in BOTTLENECK_FEATURES]
    build = net(depths, features, block, stem=stem, stem_features=64 * width, head=NormHead, **fields)
    return ModelSpec(build, family, image_size, {"timm": TIMM}, Preprocess(image_size, image_size, *HALF))


def _bit(depths: Sequence[int], width: int, image_size: int) -> ModelSpec:
    stem = Partial(ImageNetStem, bare=True, pool=PaddedMaxPool)
    fields = {"conv": StandardizedConv, "norm": GroupNorm}
    return _v2(depths, stem=stem, family="bit", width=width, image_size=image_size, **fields)


def _cifar(family: str, depth: int, features: Sequence[int], block: Any) -> ModelSpec:
    stages = tuple(Stage(depth, width, strides, block) for width, strides in zip(features, (1, 2, 2), strict=True))
    stem = Partial(CifarStem, bare=True)
    build = Partial(ResNet, stages=stages, num_classes=10, stem=stem, stem_features=16, head=NormHead)
    return ModelSpec(build, family, image_size=32)


MODELS = {
    "resnetv2_50": _v2(R50),
    "resnetv2_101": _v2(R101),
    "resnetv2_50d": _v2(R50, BOTTLENECK_D, Partial(DeepStem, bare=True)),
    "resnetv2_50x1_bit": _bit(R50, 1, 224),
    "resnetv2_50x3_bit": _bit(R50, 3, 448),
    "resnetv2_101x1_bit": _bit(R101, 1, 448),
    "resnetv2_152x2_bit": _bit(R152, 2, 224),
    "cifar_preresnet110": _cifar("resnetv2", 18, (16, 32, 64), BASIC),
    "cifar_preresnet164": _cifar("resnetv2", 18, (64, 128, 256), BOTTLENECK),
    "cifar_preresnet1001": _cifar("resnetv2", 111, (64, 128, 256), BOTTLENECK),
    "cifar_wrn16_4": _cifar("wide_resnet", 2, (64, 128, 256), BASIC),
    "cifar_wrn28_10": _cifar("wide_resnet", 4, (160, 320, 640), BASIC),
    "cifar_wrn40_2": _cifar("wide_resnet", 6, (32, 64, 128), BASIC),
}
MODELS = in_library(MODELS, [name for name in MODELS if name.endswith("_bit")], transformers=TRANSFORMERS_BIT, bit=BIT)
