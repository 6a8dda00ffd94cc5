"""Nets of ResNet's stages with one thing changed, as timm (and torchvision, where it has them) builds and names them.

c, d, t: the stems and shortcuts of He et al. 2018, "Bag of Tricks": c a deep stem, d pooled shortcuts besides, t a
tiered deep stem (24, 32, 64 channels) with d's shortcuts. aa, blur: anti-aliased. The others: see the rows.
"""

from resnet_jax import ops
from resnet_jax.models.attention import EfficientChannelAttention, SqueezeExcite
from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Bottle2neck, Bottleneck, SelectiveBasic, SelectiveBottleneck
from resnet_jax.models.layers import GroupNorm
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.stems import AveragePool, ConvPool, DeepStem, ImageNetStem, MaxBlurPool
from resnet_jax.models.zoo.imagenet import BASIC_B as BASIC
from resnet_jax.models.zoo.imagenet import (
    BASIC_FEATURES,
    BOTTLENECK,
    BOTTLENECK_FEATURES,
    R18,
    R34,
    R50,
    R101,
    R152,
    net,
)

R26 = (2, 2, 2, 2)

TIERED = Partial(DeepStem, widths=(24, 32))
AVERAGED = Partial(Bottleneck, pool=Partial(ops.avg_pool, window=2, padding=(0, 1)), pool_of_strides=True)


def _basic(depths, block=BASIC, **fields) -> Partial[ResNet]:
    return net(depths, BASIC_FEATURES, block, **fields)


def _bottleneck(depths, block=BOTTLENECK, **fields) -> Partial[ResNet]:
    return net(depths, BOTTLENECK_FEATURES, block, **fields)


def _d(block) -> Partial[Residual]:
    return Partial(block, shortcut=PooledProject)


def _grouped(groups: int, base_width: int, **slots) -> Partial[Residual]:
    """ResNeXt: Xie et al. 2017, "Aggregated Residual Transformations", table 1."""
    return Partial(Residual, branch=Partial(Bottleneck, groups=groups, base_width=base_width), **slots)


def _res2(base_width: int, scale: int, groups: int = 1, **slots) -> Partial[Residual]:
    """Gao et al. 2019, "Res2Net", table 1: width at 256 features, and scale."""
    return Partial(Residual, branch=Partial(Bottle2neck, base_width=base_width, scale=scale, groups=groups), **slots)


# Zagoruyko and Komodakis 2016, "Wide Residual Networks": the 3x3 twice as wide.
_WIDE = Partial(Residual, branch=Partial(Bottleneck, base_width=128))
_SE_BASIC, _SE = Partial(BASIC, attend=SqueezeExcite), Partial(BOTTLENECK, attend=SqueezeExcite)
_ECA_D = Partial(_d(BOTTLENECK), attend=EfficientChannelAttention)
# Bello et al. 2021, "Revisiting ResNets": D, a convolution for the stem's pool, squeeze-excite of a quarter.
_RS = Partial(_d(BOTTLENECK), attend=Partial(SqueezeExcite, ratio=1 / 4))
_RS_STEM = Partial(DeepStem, pool=ConvPool)
_AA = Partial(Residual, branch=AVERAGED)
_BLURRED = Partial(Residual, branch=Partial(Bottleneck, pool=ops.blur_pool))

MODELS = {
    "resnet18d": _basic(R18, _d(BASIC), stem=DeepStem),
    "resnet26d": _bottleneck(R26, _d(BOTTLENECK), stem=DeepStem),
    "resnet26t": _bottleneck(R26, _d(BOTTLENECK), stem=TIERED, image_size=256),
    "resnet34d": _basic(R34, _d(BASIC), stem=DeepStem),
    "resnet50c": _bottleneck(R50, stem=DeepStem),
    "resnet50d": _bottleneck(R50, _d(BOTTLENECK), stem=DeepStem),
    "resnet50t": _bottleneck(R50, _d(BOTTLENECK), stem=TIERED),
    "resnet101d": _bottleneck(R101, _d(BOTTLENECK), stem=DeepStem, image_size=256),
    "resnet152d": _bottleneck(R152, _d(BOTTLENECK), stem=DeepStem, image_size=256),
    "resnet50_gn": _bottleneck(R50, norm=GroupNorm),
    "resnetaa50": _bottleneck(R50, _AA, stem=Partial(ImageNetStem, pool=AveragePool)),
    "resnetaa50d": _bottleneck(R50, _d(_AA), stem=Partial(DeepStem, pool=AveragePool)),
    "resnetblur50": _bottleneck(R50, _BLURRED, stem=Partial(ImageNetStem, pool=MaxBlurPool)),
    "resnetrs50": _bottleneck(R50, _RS, stem=_RS_STEM, image_size=160),
    "resnetrs101": _bottleneck(R101, _RS, stem=_RS_STEM, image_size=192),
    "resnext50_32x4d": _bottleneck(R50, _grouped(32, 4)),
    "resnext50d_32x4d": _bottleneck(R50, _d(_grouped(32, 4)), stem=DeepStem),
    "resnext101_32x4d": _bottleneck(R101, _grouped(32, 4)),
    "resnext101_32x8d": _bottleneck(R101, _grouped(32, 8)),
    "resnext101_64x4d": _bottleneck(R101, _grouped(64, 4)),
    "wide_resnet50_2": _bottleneck(R50, _WIDE),
    "wide_resnet101_2": _bottleneck(R101, _WIDE),
    "seresnet18": _basic(R18, _SE_BASIC),
    "seresnet34": _basic(R34, _SE_BASIC),
    "seresnet50": _bottleneck(R50, _SE),
    "seresnet101": _bottleneck(R101, _SE),
    "seresnet152": _bottleneck(R152, _SE),
    "seresnext50_32x4d": _bottleneck(R50, _grouped(32, 4, attend=SqueezeExcite)),
    "seresnext101_32x4d": _bottleneck(R101, _grouped(32, 4, attend=SqueezeExcite)),
    "seresnext101_32x8d": _bottleneck(R101, _grouped(32, 8, attend=SqueezeExcite)),
    "seresnext101_64x4d": _bottleneck(R101, _grouped(64, 4, attend=SqueezeExcite)),
    "ecaresnet50d": _bottleneck(R50, _ECA_D, stem=DeepStem),
    "ecaresnet101d": _bottleneck(R101, _ECA_D, stem=DeepStem),
    "skresnet18": _basic(R18, Partial(Residual, branch=SelectiveBasic)),
    "skresnet34": _basic(R34, Partial(Residual, branch=SelectiveBasic)),
    "skresnext50_32x4d": _bottleneck(R50, Partial(Residual, branch=SelectiveBottleneck)),
    "res2net50_26w_4s": _bottleneck(R50, _res2(26, 4)),
    "res2net50_26w_6s": _bottleneck(R50, _res2(26, 6)),
    "res2net50_26w_8s": _bottleneck(R50, _res2(26, 8)),
    "res2net50_48w_2s": _bottleneck(R50, _res2(48, 2)),
    "res2net50_14w_8s": _bottleneck(R50, _res2(14, 8)),
    "res2net101_26w_4s": _bottleneck(R101, _res2(26, 4)),
    "res2net50d": _bottleneck(R50, _res2(26, 4, shortcut=PooledProject), stem=DeepStem),
    "res2net101d": _bottleneck(R101, _res2(26, 4, shortcut=PooledProject), stem=DeepStem),
    "res2next50": _bottleneck(R50, _res2(4, 4, groups=8)),
}
