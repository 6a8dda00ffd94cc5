"""Branches: F(x), the learnt part of a block. [N, *spatial, Ci] -> [N, *spatial/s, features]."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.attention import SelectiveKernel, SqueezeExcite
from resnet_jax.models.context import BlockContext, Pool
from resnet_jax.models.initializers import depthwise_normal
from resnet_jax.models.layers import CondConv
from resnet_jax.types import Array


def inner_width(features: int, base_width: int) -> int:
    """Channels of one group inside a bottleneck: `base_width` at 256 features, proportional elsewhere."""
    return features // 4 * base_width // 64


class Basic(nn.Module):
    """Two 3x3 convolutions (He et al. 2015, figure 5 left). 18 C^2 weights at C = features, without norms."""

    context: BlockContext
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        y = context.conv(self.features, 3, self.strides, name="conv1")(x)
        y = context.act(context.norm(name="norm1")(y))
        y = context.conv(self.features, 3, name="conv2")(y)
        return context.last_norm(name="norm2")(y)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, a quarter as wide inside (He et al. 2015, figure 5 right). 17/16 C^2 weights.

    With `groups` it is ResNeXt's (Xie et al. 2017, figure 3c): `base_width` channels per group at 256 features.
    """

    context: BlockContext
    features: int
    strides: int = 1
    groups: int = 1
    base_width: int = 64
    # v1.5: the stride sits on the 3x3, not on the first 1x1 as in the paper ("v1"). Worth about half a point of top-1.
    strides_in_1x1: bool = False
    pool: Pool | None = None  # takes the strides in place of the 3x3, after it
    # The pool's window is as large as its strides: by timm's rule it is skipped where an output stride cancels them.
    pool_of_strides: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, width = self.context, inner_width(self.features, self.base_width) * self.groups
        strides_in_pool = self.pool is not None and self.strides > 1
        skips_pool = self.pool_of_strides and context.dilation_rule != "resample" and not context.take_strides
        first, second = (self.strides, 1) if self.strides_in_1x1 else (1, self.strides)
        y = context.conv(width, 1, first, name="conv1")(x)
        y = context.act(context.norm(name="norm1")(y))
        y = context.conv(width, 3, second, groups=self.groups, strides_in_pool=strides_in_pool, name="conv2")(y)
        y = context.act(context.norm(name="norm2")(y))
        if self.pool is not None and strides_in_pool and not skips_pool:
            y = context.pool(self.pool, y, self.strides)
        y = context.conv(self.features, 1, name="conv3")(y)
        return context.last_norm(name="norm3")(y)


class Bottle2neck(nn.Module):
    """A bottleneck whose 3x3 works on `scale` slices, each added to the output before it (Gao et al. 2019, eq. 1).

    The last slice has no convolution. In the first block of a stage slices are not added to each other, and the last
    one is averaged over 3x3 pixels; the average counts the padding, as the published weights expect.
    """

    context: BlockContext
    features: int
    strides: int = 1
    base_width: int = 26
    scale: int = 4
    groups: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, width = self.context, inner_width(self.features, self.base_width) * self.groups
        is_first = self.strides > 1 or x.shape[-1] != self.features
        y = context.conv(width * self.scale, 1, name="conv1")(x)
        *slices, last = jnp.split(context.act(context.norm(name="norm1")(y)), self.scale, axis=-1)
        outputs: list[Array] = []
        for i, part in enumerate(slices):
            y = part if is_first or not outputs else outputs[-1] + part
            y = context.conv(width, 3, self.strides, groups=self.groups, name=f"conv2_{i}")(y)
            outputs.append(context.act(context.norm(name=f"norm2_{i}")(y)))
        if is_first:
            last = context.pool(ops.avg_pool, last, self.strides, window=3, padding=(1, 1), count_padding=True)
        y = context.conv(self.features, 1, name="conv3")(jnp.concatenate([*outputs, last], axis=-1))
        return context.last_norm(name="norm3")(y)


class SelectiveBasic(nn.Module):
    """A selective kernel, then a 3x3 convolution: timm's SK-ResNet-18 and 34."""

    context: BlockContext
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        kernel = SelectiveKernel(
            context, self.features, self.strides, split=True, ratio=1 / 8, divisor=16, name="conv1"
        )
        y = context.conv(self.features, 3, name="conv2")(kernel(x))
        return context.last_norm(name="norm2")(y)


class SelectiveBottleneck(nn.Module):
    """A bottleneck whose 3x3 is a selective kernel (Li et al. 2019, table 1, with ResNeXt's width)."""

    context: BlockContext
    features: int
    strides: int = 1
    groups: int = 32
    base_width: int = 4

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, width = self.context, inner_width(self.features, self.base_width) * self.groups
        y = context.act(context.norm(name="norm1")(context.conv(width, 1, name="conv1")(x)))
        y = SelectiveKernel(context, width, self.strides, groups=self.groups, name="conv2")(y)
        y = context.conv(self.features, 1, name="conv3")(y)
        return context.last_norm(name="norm3")(y)


class PreActBasic(nn.Module):
    """Two 3x3 convolutions; the block has normalised the input (He et al. 2016, figure 4e)."""

    context: BlockContext
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        y = context.conv(self.features, 3, self.strides, name="conv1")(x)
        y = context.act(context.norm(name="norm2")(y))
        return context.last_conv(self.features, 3, name="conv2")(y)


class PreActBottleneck(nn.Module):
    """1x1, 3x3 with the stride and 1x1 convolutions, a quarter as wide inside; the block has normalised the input."""

    context: BlockContext
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, width = self.context, self.features // 4
        y = context.conv(width, 1, name="conv1")(x)
        y = context.act(context.norm(name="norm2")(y))
        y = context.conv(width, 3, self.strides, name="conv2")(y)
        y = context.act(context.norm(name="norm3")(y))
        return context.last_conv(self.features, 1, name="conv3")(y)


class MBConv(nn.Module):
    """1x1 to `expansion` times the channels, depthwise, squeeze-excite, 1x1 without activation: EfficientNet's branch.

    Tan and Le 2019, "EfficientNet", table 1; Sandler et al. 2018, "MobileNetV2", figure 4d. With `experts` the
    kernel of each convolution is a sum of this many, with one routing per block (Yang et al. 2019, "CondConv").
    """

    context: BlockContext
    features: int
    strides: int = 1
    kernel_size: int = 3
    expansion: int = 6
    squeeze: float | None = 1 / 4  # of the block's input channels; None: no squeeze-excite
    experts: int | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, channels = self.context, x.shape[-1]
        width, options = channels * self.expansion, dict[str, Any]()
        if self.experts is not None:
            routes = jax.nn.sigmoid(context.dense(self.experts, name="routing")(context.global_pool(x)))
            context, options = context.with_conv(CondConv, experts=self.experts), {"routes": routes}
        y = x
        if self.expansion > 1:
            y = context.act(context.norm(name="norm1")(context.conv(width, 1, name="conv1")(y, **options)))
        depthwise = context.conv(
            width, self.kernel_size, self.strides, groups=width, kernel_init=depthwise_normal, name="conv2"
        )
        y = context.act(context.norm(name="norm2")(depthwise(y, **options)))
        if self.squeeze is not None:
            y = SqueezeExcite(context, width, reduced=round(channels * self.squeeze), name="attend")(y)
        return context.norm(name="norm3")(context.conv(self.features, 1, name="conv3")(y, **options))
