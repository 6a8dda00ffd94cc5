"""Feature pyramid: maps of several strides with one number of channels.

Lin et al. 2017, "Feature Pyramid Networks for Object Detection", as torchvision builds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import flax.linen as nn

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.initializers import Initializer
from resnet_jax.models.layers import BiasedConv
from resnet_jax.models.options import check_choice
from resnet_jax.ops.resize import resize
from resnet_jax.types import Array

EXTRA_LEVELS = ("p6", "p7", "pool")  # above the last stage: strided convolutions, or every second pixel
P6_FROM = ("p5", "c5")

# Uniform, of variance 1 / fan_in.
FAN_IN_UNIFORM: Initializer = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


def split_levels(levels: tuple[str, ...], stages: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Levels of a pyramid that are stages of the backbone, and those above them.

    Raises:
      ValueError: no such stage, stages out of order, or other levels above them than p6, p6 and p7, or pool.
    """
    inside = tuple(level for level in levels if level not in EXTRA_LEVELS)
    extra = levels[len(inside) :]
    for level in inside:
        check_choice("levels", level, (*stages, *EXTRA_LEVELS))
    numbers = [stages.index(level) for level in inside]
    if not inside or levels[: len(inside)] != inside or any(a >= b for a, b in pairwise(numbers)):
        raise ValueError(
            f"levels: expected stages in their order, then p6, p7 or pool, got {', '.join(levels) or 'none'}"
        )
    if extra not in ((), ("p6",), ("p6", "p7"), ("pool",)):
        raise ValueError(f"levels: expected p6, p6 and p7, or pool after the stages, got {', '.join(extra)}")
    return inside, extra


class FeaturePyramid(nn.Module):
    """Feature maps by stage, the finest first -> maps of `features` channels, by level.

    Each map is a 1x1 convolution of the stage plus the next coarser sum, whose pixels are repeated; a 3x3 convolution
    of the sum is the level.
    """

    context: BlockContext
    features: int = 256
    extra: tuple[str, ...] = ()  # levels above the last stage: ("p6",), ("p6", "p7") or ("pool",)
    # What p6 is computed from: the last level, or its stage. With as many channels as the level the stage is not taken.
    p6_from: str = "p5"
    has_norms: bool = False  # a norm after each convolution, which then has no bias

    @nn.compact
    def __call__(self, stages: Mapping[str, Array]) -> dict[str, Array]:
        lateral = {name: self._conv(f"inner{i}", 1)(x) for i, (name, x) in enumerate(stages.items(), 1)}
        *finer, last = lateral
        sums, coarser = {last: lateral[last]}, lateral[last]
        for name in reversed(finer):
            coarser = sums[name] = lateral[name] + resize(coarser, lateral[name].shape[1:-1], "nearest")
        levels = {name: self._conv(f"layer{i}", 3)(sums[name]) for i, name in enumerate(stages, 1)}
        return levels | self._extra(levels[last], stages[last])

    def _extra(self, p5: Array, c5: Array) -> dict[str, Array]:
        """The levels above the last stage."""
        if self.extra == ("pool",):
            return {"pool": p5[:, ::2, ::2]}
        context, levels = replace(self.context, make_conv=BiasedConv), dict[str, Array]()
        x = c5 if self.p6_from == "c5" and c5.shape[-1] != self.features else p5
        for name in self.extra:
            levels[name] = context.conv(self.features, 3, 2, kernel_init=FAN_IN_UNIFORM, name=name)(x)
            x = ops.relu(levels[name])
        return levels

    def _conv(self, name: str, kernel_size: int) -> nn.Module:
        return ConvLayer(self.context, self.features, kernel_size, FAN_IN_UNIFORM, has_norm=self.has_norms, name=name)


class ConvLayer(nn.Module):
    """A convolution with a bias, or one without and a norm."""

    context: BlockContext
    features: int
    kernel_size: int
    kernel_init: Initializer
    has_norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context if self.has_norm else replace(self.context, make_conv=BiasedConv)
        x = context.conv(self.features, self.kernel_size, kernel_init=self.kernel_init, name="conv")(x)
        return context.norm(name="norm")(x) if self.has_norm else x
