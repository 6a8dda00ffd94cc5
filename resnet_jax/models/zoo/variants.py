"""Variants of ResNet's stages, with the names of timm and torchvision.

c, d and t have the stems and shortcuts of He et al. 2018, "Bag of Tricks": c a deep stem, d also pooled shortcuts, t a
tiered deep stem (24, 32, 64 channels) and d's shortcuts. aa and blur are anti-aliased.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_jax import ops
from resnet_jax.models.attention import EfficientChannelAttention, SqueezeExcite
from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Bottle2neck, Bottleneck, SelectiveBasic, SelectiveBottleneck
from resnet_jax.models.layers import GroupNorm
from resnet_jax.models.partials import Partial
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.spec import IMAGENET, ModelSpec, ModuleName, NameTable
from resnet_jax.models.stems import AveragePool, ConvPool, DeepStem, ImageNetStem, MaxBlurPool
from resnet_jax.models.zoo.imagenet import (
    BASIC_B,
    BASIC_FEATURES,
    BOTTLENECK,
    BOTTLENECK_FEATURES,
    R18,
    R34,
    R50,
    R101,
    R152,
    TIMM,
    TIMM_MODULES,
    TORCHVISION,
    net,
    timm_spec,
)
from resnet_jax.models.zoo.libraries import in_torchvision
from resnet_jax.types import Preprocess

R26 = (2, 2, 2, 2)  # of bottlenecks

TIERED = Partial(DeepStem, widths=(24, 32))
AVERAGED = Partial(Bottleneck, pool=Partial(ops.avg_pool, window=2, padding=(0, 1)), pool_of_strides=True)


# Names of timm's resnet.py, with those of shortcuts that pool before they convolve.
POOLED = NameTable(
    (
        ModuleName("layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("layer{s}.{i}.downsample.2", "stage{s}_block{i}/shortcut/norm"),
        *TIMM_MODULES,
    )
)
# Names of timm's selective_kernel.py.
SELECTIVE = NameTable(
    (
        ModuleName("layer{s}.{i}.conv{k}.paths.{p}.conv", "stage{s}_block{i}/branch/conv{k}/conv_{p}"),
        ModuleName("layer{s}.{i}.conv{k}.paths.{p}.bn", "stage{s}_block{i}/branch/conv{k}/norm_{p}"),
        ModuleName("layer{s}.{i}.conv{k}.attn.fc_reduce", "stage{s}_block{i}/branch/conv{k}/reduce"),
        ModuleName("layer{s}.{i}.conv{k}.attn.bn", "stage{s}_block{i}/branch/conv{k}/reduce_norm"),
        ModuleName("layer{s}.{i}.conv{k}.attn.fc_select", "stage{s}_block{i}/branch/conv{k}/select"),
        ModuleName("layer{s}.{i}.conv{k}.conv", "stage{s}_block{i}/branch/conv{k}"),
        ModuleName("layer{s}.{i}.conv{k}.bn", "stage{s}_block{i}/branch/norm{k}"),
        *TIMM_MODULES,
    )
)


def _spec(
    family: str,
    depths: Sequence[int],
    features: Sequence[int],
    block: Any,
    *,
    image_size: int = 224,
    table: NameTable = TIMM,
    preprocess: Preprocess | None = None,
    **fields: Any,
) -> ModelSpec:
    build = net(depths, features, block, **fields)
    return timm_spec(build, family, image_size=image_size, table=table, preprocess=preprocess)


def _basic(family: str, depths: Sequence[int], block: Any = BASIC_B, **options: Any) -> ModelSpec:
    return _spec(family, depths, BASIC_FEATURES, block, **options)


def _bottleneck(family: str, depths: Sequence[int], block: Any = BOTTLENECK, **options: Any) -> ModelSpec:
    return _spec(family, depths, BOTTLENECK_FEATURES, block, **options)


def _d(block: Partial[Residual]) -> Partial[Residual]:
    """ResNet-D: shortcuts pool before they convolve."""
    return Partial(block, shortcut=PooledProject)


def _grouped(groups: int, base_width: int, **slots: Any) -> Partial[Residual]:
    """ResNeXt: Xie et al. 2017, "Aggregated Residual Transformations", table 1."""
    return Partial(Residual, branch=Partial(Bottleneck, groups=groups, base_width=base_width), **slots)


def _res2(base_width: int, scale: int, groups: int = 1, **slots: Any) -> Partial[Residual]:
    """Res2Net: Gao et al. 2019, "Res2Net", table 1; `base_width` is the width of a slice at 256 features."""
    return Partial(Residual, branch=Partial(Bottle2neck, base_width=base_width, scale=scale, groups=groups), **slots)


# Zagoruyko and Komodakis 2016, "Wide Residual Networks": the 3x3 twice as wide.
WIDE = Partial(Residual, branch=Partial(Bottleneck, base_width=128))
SE_BASIC, SE = Partial(BASIC_B, attend=SqueezeExcite), Partial(BOTTLENECK, attend=SqueezeExcite)
ECA_D = Partial(_d(BOTTLENECK), attend=EfficientChannelAttention)
# Bello et al. 2021, "Revisiting ResNets": D, a convolution for the stem's pool, squeeze-excite of a quarter.
RS = Partial(_d(BOTTLENECK), attend=Partial(SqueezeExcite, ratio=1 / 4))
RS_STEM = Partial(DeepStem, pool=ConvPool)
AA = Partial(Residual, branch=AVERAGED)
BLURRED = Partial(Residual, branch=Partial(Bottleneck, pool=ops.blur_pool))

MODELS = {
    "resnet18d": _basic("resnet", R18, _d(BASIC_B), stem=DeepStem, table=POOLED),
    "resnet26d": _bottleneck("resnet", R26, _d(BOTTLENECK), stem=DeepStem, table=POOLED),
    "resnet26t": _bottleneck("resnet", R26, _d(BOTTLENECK), stem=TIERED, image_size=256, table=POOLED),
    "resnet34d": _basic("resnet", R34, _d(BASIC_B), stem=DeepStem, table=POOLED),
    "resnet50c": _bottleneck("resnet", R50, stem=DeepStem),
    "resnet50d": _bottleneck("resnet", R50, _d(BOTTLENECK), stem=DeepStem, table=POOLED),
    "resnet50t": _bottleneck("resnet", R50, _d(BOTTLENECK), stem=TIERED, table=POOLED),
    "resnet101d": _bottleneck("resnet", R101, _d(BOTTLENECK), stem=DeepStem, image_size=256, table=POOLED),
    "resnet152d": _bottleneck("resnet", R152, _d(BOTTLENECK), stem=DeepStem, image_size=256, table=POOLED),
    "resnet50_gn": _bottleneck("resnet", R50, norm=GroupNorm),
    "resnetaa50": _bottleneck("resnet", R50, AA, stem=Partial(ImageNetStem, pool=AveragePool)),
    "resnetaa50d": _bottleneck("resnet", R50, _d(AA), stem=Partial(DeepStem, pool=AveragePool), table=POOLED),
    "resnetblur50": _bottleneck("resnet", R50, BLURRED, stem=Partial(ImageNetStem, pool=MaxBlurPool)),
    "resnetrs50": _bottleneck("resnet_rs", R50, RS, stem=RS_STEM, image_size=160, table=POOLED),
    "resnetrs101": _bottleneck("resnet_rs", R101, RS, stem=RS_STEM, image_size=192, table=POOLED),
    "resnext50_32x4d": _bottleneck("resnext", R50, _grouped(32, 4)),
    "resnext50d_32x4d": _bottleneck("resnext", R50, _d(_grouped(32, 4)), stem=DeepStem, table=POOLED),
    "resnext101_32x4d": _bottleneck("resnext", R101, _grouped(32, 4)),
    "resnext101_32x8d": _bottleneck("resnext", R101, _grouped(32, 8)),
    "resnext101_64x4d": _bottleneck("resnext", R101, _grouped(64, 4), preprocess=Preprocess(224, 232, *IMAGENET)),
    "wide_resnet50_2": _bottleneck("wide_resnet", R50, WIDE),
    "wide_resnet101_2": _bottleneck("wide_resnet", R101, WIDE),
    "seresnet18": _basic("senet", R18, SE_BASIC),
    "seresnet34": _basic("senet", R34, SE_BASIC),
    "seresnet50": _bottleneck("senet", R50, SE),
    "seresnet101": _bottleneck("senet", R101, SE),
    "seresnet152": _bottleneck("senet", R152, SE),
    "seresnext50_32x4d": _bottleneck("senet", R50, _grouped(32, 4, attend=SqueezeExcite)),
    "seresnext101_32x4d": _bottleneck("senet", R101, _grouped(32, 4, attend=SqueezeExcite)),
    "seresnext101_32x8d": _bottleneck("senet", R101, _grouped(32, 8, attend=SqueezeExcite)),
    "seresnext101_64x4d": _bottleneck("senet", R101, _grouped(64, 4, attend=SqueezeExcite)),
    "ecaresnet50d": _bottleneck("ecanet", R50, ECA_D, stem=DeepStem, table=POOLED),
    "ecaresnet101d": _bottleneck("ecanet", R101, ECA_D, stem=DeepStem, table=POOLED),
    "skresnet18": _basic("sknet", R18, Partial(Residual, branch=SelectiveBasic), table=SELECTIVE),
    "skresnet34": _basic("sknet", R34, Partial(Residual, branch=SelectiveBasic), table=SELECTIVE),
    "skresnext50_32x4d": _bottleneck("sknet", R50, Partial(Residual, branch=SelectiveBottleneck), table=SELECTIVE),
    "res2net50_26w_4s": _bottleneck("res2net", R50, _res2(26, 4)),
    "res2net50_26w_6s": _bottleneck("res2net", R50, _res2(26, 6)),
    "res2net50_26w_8s": _bottleneck("res2net", R50, _res2(26, 8)),
    "res2net50_48w_2s": _bottleneck("res2net", R50, _res2(48, 2)),
    "res2net50_14w_8s": _bottleneck("res2net", R50, _res2(14, 8)),
    "res2net101_26w_4s": _bottleneck("res2net", R101, _res2(26, 4)),
    "res2net50d": _bottleneck("res2net", R50, _res2(26, 4, shortcut=PooledProject), stem=DeepStem, table=POOLED),
    "res2net101d": _bottleneck("res2net", R101, _res2(26, 4, shortcut=PooledProject), stem=DeepStem, table=POOLED),
    "res2next50": _bottleneck("res2net", R50, _res2(4, 4, groups=8)),
}
MODELS = in_torchvision(MODELS, TORCHVISION)
