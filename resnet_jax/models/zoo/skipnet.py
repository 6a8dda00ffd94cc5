"""SkipNets (Wang et al. 2018): gated blocks on the CIFAR ResNets with shortcut option A, and on ResNet-50 and 101.

cifar_skipnet38, 74 and 110 have feed-forward gates: of two convolutions each, of one in the deepest net. `_rnn` and the
nets for ImageNet, whose blocks are too wide for convolutions in gates, have recurrent gates that share a memory of ten
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_jax.models.branches import Bottleneck
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import Stage
from resnet_jax.models.shortcuts import ZeroPad
from resnet_jax.models.skipnet import FeedForwardGate, RecurrentGate, SkipNet, SkipResidual
from resnet_jax.models.spec import ModelSpec
from resnet_jax.models.stems import CifarStem
from resnet_jax.models.zoo.imagenet import BOTTLENECK_FEATURES, R50, R101


def _net(
    depths: Sequence[int],
    features: Sequence[int],
    strides: Sequence[int],
    block: Any,
    gate: Any,
    *,
    image_size: int = 224,
    **fields: Any,
) -> ModelSpec:
    stages = tuple(Stage(*row, Partial(block, gate=gate)) for row in zip(depths, features, strides, strict=True))
    memory = 10 if gate is RecurrentGate else None
    build = Partial(SkipNet, stages=stages, memory_size=memory, **fields)
    return ModelSpec(build, "skipnet", image_size, is_gated=True)


def _cifar(layers: int, gate: Any) -> ModelSpec:
    depths, block = 3 * [(layers - 2) // 6], Partial(SkipResidual, shortcut=ZeroPad)
    fields = {"num_classes": 10, "stem": CifarStem, "stem_features": 16}
    return _net(depths, (16, 32, 64), (1, 2, 2), block, gate, image_size=32, **fields)


def _imagenet(depths: Sequence[int]) -> ModelSpec:
    return _net(depths, BOTTLENECK_FEATURES, (1, 2, 2, 2), Partial(SkipResidual, branch=Bottleneck), RecurrentGate)


TWO = Partial(FeedForwardGate, convs=2)
MODELS = {
    "cifar_skipnet38": _cifar(38, TWO),
    "cifar_skipnet74": _cifar(74, TWO),
    "cifar_skipnet110": _cifar(110, FeedForwardGate),
    "cifar_skipnet38_rnn": _cifar(38, RecurrentGate),
    "cifar_skipnet74_rnn": _cifar(74, RecurrentGate),
    "cifar_skipnet110_rnn": _cifar(110, RecurrentGate),
    "skipnet50": _imagenet(R50),
    "skipnet101": _imagenet(R101),
}
