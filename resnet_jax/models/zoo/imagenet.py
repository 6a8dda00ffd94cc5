"""ImageNet nets of He et al. 2015, "Deep Residual Learning for Image Recognition", table 1.

resnet50/101/152 are v1.5, as in torchvision and timm: the stride is in the 3x3. The `_v1` nets are the paper's: the
stride is in the first 1x1; same parameters, 6 % fewer multiply-adds. resnet18/34 have shortcut option B; `_a`, `_b` and
`_c` name the option.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Bottleneck
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.models.shortcuts import Project, Zero, ZeroPad
from resnet_jax.models.spec import IMAGENET, ModelSpec, ModuleName, NameTable
from resnet_jax.models.zoo.libraries import (
    CAFFE2_MSRA,
    DETECTRON2,
    DETECTRON2_MSRA,
    KERAS,
    TRANSFORMERS,
    in_library,
    in_torchvision,
)
from resnet_jax.types import Preprocess

BASIC_A = Partial(Residual, shortcut=ZeroPad)
BASIC_B = Partial(Residual)
BASIC_C = Partial(Residual, shortcut=Partial(Project, always=True))
PLAIN = Partial(Residual, shortcut=Zero)
BOTTLENECK = Partial(Residual, branch=Bottleneck)
BOTTLENECK_V1 = Partial(Residual, branch=Partial(Bottleneck, strides_in_1x1=True))

BASIC_FEATURES = (64, 128, 256, 512)
BOTTLENECK_FEATURES = (256, 512, 1024, 2048)

R18, R34, R50 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 6, 3)
R101, R152 = (3, 4, 23, 3), (3, 8, 36, 3)

# Names of torchvision's resnet.py.
TORCHVISION_MODULES = (
    ModuleName("conv1", "stem/conv"),
    ModuleName("bn1", "stem/norm"),
    ModuleName("layer{s}.{i}.downsample.0", "stage{s}_block{i}/shortcut/conv"),
    ModuleName("layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/norm"),
    ModuleName("layer{s}.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
    ModuleName("layer{s}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
    ModuleName("fc", "head/dense"),
)
# Names of timm's resnet.py: the same, and those of deep stems, convolutions in place of the stem's pool, slices of
# Res2Net, and channel attention.
TIMM_MODULES = (
    ModuleName("conv1.0", "stem/conv1"),
    ModuleName("conv1.1", "stem/norm1"),
    ModuleName("conv1.3", "stem/conv2"),
    ModuleName("conv1.4", "stem/norm2"),
    ModuleName("conv1.6", "stem/conv3"),
    ModuleName("bn1", "stem/norm3"),
    ModuleName("maxpool.0", "stem/pool/conv"),
    ModuleName("maxpool.1", "stem/pool/norm"),
    ModuleName("layer{s}.{i}.convs.{p}", "stage{s}_block{i}/branch/conv2_{p}"),
    ModuleName("layer{s}.{i}.bns.{p}", "stage{s}_block{i}/branch/norm2_{p}"),
    ModuleName("layer{s}.{i}.se.fc{k}", "stage{s}_block{i}/attend/fc{k}", is_conv1x1=True),
    ModuleName("layer{s}.{i}.se.conv", "stage{s}_block{i}/attend"),
    *TORCHVISION_MODULES,
)
TORCHVISION, TIMM = NameTable(TORCHVISION_MODULES), NameTable(TIMM_MODULES)


def net(depths: Sequence[int], features: Sequence[int], block: Any, **fields: Any) -> Partial[ResNet]:
    """Builder of a net of four stages; all but the first halve the side of the map."""
    rows = zip(depths, features, (1, 2, 2, 2), strict=True)
    stages = tuple(Stage(depth, width, strides, block) for depth, width, strides in rows)
    return Partial(ResNet, stages=stages, **fields)


def timm_spec(
    build: Partial[ResNet],
    family: str,
    *,
    image_size: int = 224,
    table: NameTable = TIMM,
    preprocess: Preprocess | None = None,
) -> ModelSpec:
    """Row of a net in timm's resnet.py; `preprocess` defaults to timm's usual one."""
    usual = Preprocess(image_size, round(image_size / 0.875), *IMAGENET)
    return ModelSpec(build, family, image_size, {"timm": table}, preprocess or usual)


MODELS = {
    "plain18": ModelSpec(net(R18, BASIC_FEATURES, PLAIN), "plain"),
    "plain34": ModelSpec(net(R34, BASIC_FEATURES, PLAIN), "plain"),
    "resnet18": timm_spec(net(R18, BASIC_FEATURES, BASIC_B), "resnet"),
    "resnet18_a": ModelSpec(net(R18, BASIC_FEATURES, BASIC_A), "resnet"),
    "resnet18_b": ModelSpec(net(R18, BASIC_FEATURES, BASIC_B), "resnet"),
    "resnet18_c": ModelSpec(net(R18, BASIC_FEATURES, BASIC_C), "resnet"),
    "resnet34": timm_spec(net(R34, BASIC_FEATURES, BASIC_B), "resnet"),
    "resnet34_a": ModelSpec(net(R34, BASIC_FEATURES, BASIC_A), "resnet"),
    "resnet34_b": ModelSpec(net(R34, BASIC_FEATURES, BASIC_B), "resnet"),
    "resnet34_c": ModelSpec(net(R34, BASIC_FEATURES, BASIC_C), "resnet"),
    "resnet50": timm_spec(net(R50, BOTTLENECK_FEATURES, BOTTLENECK), "resnet"),
    "resnet101": timm_spec(net(R101, BOTTLENECK_FEATURES, BOTTLENECK), "resnet"),
    "resnet152": timm_spec(net(R152, BOTTLENECK_FEATURES, BOTTLENECK), "resnet"),
    "resnet50_v1": ModelSpec(net(R50, BOTTLENECK_FEATURES, BOTTLENECK_V1), "resnet"),
    "resnet101_v1": ModelSpec(net(R101, BOTTLENECK_FEATURES, BOTTLENECK_V1), "resnet"),
    "resnet152_v1": ModelSpec(net(R152, BOTTLENECK_FEATURES, BOTTLENECK_V1), "resnet"),
}
MODELS = in_torchvision(MODELS, TORCHVISION)
MODELS = in_library(MODELS, [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)], transformers=TRANSFORMERS)
MODELS = in_library(MODELS, ["resnet50", "resnet101", "resnet152"], detectron2=DETECTRON2)
V1 = {"keras": KERAS, "detectron2": DETECTRON2_MSRA, "caffe2": CAFFE2_MSRA}
MODELS = in_library(MODELS, ["resnet50_v1", "resnet101_v1", "resnet152_v1"], **V1)
