"""CIFAR nets of He et al. 2015, section 4.2 and table 6: 6n + 2 layers, three stages of 16, 32 and 64 channels.

cifar_resnet20 and the like have the paper's parameter-free shortcut (option A); `_a`, `_b`, `_c` name the option.
cifar_resnet8 (n = 1) is not in the paper; it is the usual small student of distillation (Tian et al. 2020). 38 and 74
are the twins of SkipNet's. cifar_highway has highway gates (Srivastava et al. 2015) instead of additions.
cifar_resnet18 is ImageNet's with a 3x3 stem and no pooling, the usual net of articles on CIFAR.

Small nets with a paper's idea, each with a twin without it: cifar_condconv20 (Yang et al. 2019, four experts a
convolution) and cifar_resnet20; cifar_res2net29 (Gao et al. 2019, four slices) and cifar_resnet29, both of bottlenecks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Bottle2neck
from resnet_jax.models.combine import HighwayGate
from resnet_jax.models.layers import CondConv
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.models.spec import ModelSpec, NameTable
from resnet_jax.models.stems import CifarStem
from resnet_jax.models.zoo.imagenet import (
    BASIC_A,
    BASIC_B,
    BASIC_C,
    BASIC_FEATURES,
    BOTTLENECK,
    PLAIN,
    R18,
    TORCHVISION_MODULES,
    net,
)
from resnet_jax.models.zoo.libraries import AKAMASTER, CIFAR10, KUANGLIU, in_library
from resnet_jax.types import Preprocess

CIFAR: dict[str, Any] = {"num_classes": 10, "stem": CifarStem}


def _net(
    family: str, layers: int, block: Any, features: Sequence[int] = (16, 32, 64), convs: int = 2, **fields: Any
) -> ModelSpec:
    """`convs`: convolutions in a block, of which there are (layers - 2) / (3 convs) in each stage."""
    depth = (layers - 2) // (3 * convs)
    stages = tuple(Stage(depth, width, strides, block) for width, strides in zip(features, (1, 2, 2), strict=True))
    return ModelSpec(Partial(ResNet, stages=stages, stem_features=16, **CIFAR, **fields), family, image_size=32)


RESNETS = (8, 20, 32, 38, 44, 56, 74, 110, 1202)
PLAINS = (20, 32, 44, 56, 110)
HIGHWAYS = (20, 32, 56)
OPTIONS = {"": BASIC_A, "_a": BASIC_A, "_b": BASIC_B, "_c": BASIC_C}
HIGHWAY = Partial(BASIC_A, combine=HighwayGate)
WIDE: dict[str, Any] = {"features": (64, 128, 256), "convs": 3}

MODELS = {f"cifar_plain{layers}": _net("plain", layers, PLAIN) for layers in PLAINS}
MODELS |= {
    f"cifar_resnet{layers}{option}": _net("resnet", layers, block)
    for layers in RESNETS
    for option, block in OPTIONS.items()
}
MODELS |= {f"cifar_highway{layers}": _net("highway", layers, HIGHWAY) for layers in HIGHWAYS}
MODELS |= {
    "cifar_resnet18": ModelSpec(net(R18, BASIC_FEATURES, BASIC_B, **CIFAR), "resnet", image_size=32),
    "cifar_resnet29": _net("resnet", 29, BOTTLENECK, **WIDE),
    "cifar_res2net29": _net("res2net", 29, Partial(Residual, branch=Bottle2neck), **WIDE),
    "cifar_condconv20": _net("condconv", 20, BASIC_A, conv=CondConv),
}
# Names of chenyaofo's pytorch-cifar-models are torchvision's.
CHENYAOFO = NameTable(TORCHVISION_MODULES, preprocess=Preprocess(32, 32, *CIFAR10))
OPTION_A = [f"cifar_resnet{layers}{option}" for layers in RESNETS for option in ("", "_a")]
OPTION_B = [f"cifar_resnet{layers}_b" for layers in RESNETS]
MODELS = in_library(MODELS, OPTION_A, akamaster=AKAMASTER)
MODELS = in_library(MODELS, OPTION_B, akamaster=AKAMASTER, chenyaofo=CHENYAOFO)
MODELS = in_library(MODELS, ["cifar_resnet18"], kuangliu=KUANGLIU)
