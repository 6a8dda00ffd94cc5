"""Attention over channels, applied to F(x) before the shortcut is added. [N, *spatial, C] -> the same shape."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.types import Array


def divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, at least `divisor`."""
    return max(divisor, int(channels + divisor / 2) // divisor * divisor)


def per_channel(gate: Array, x: Array) -> Array:
    """x with each channel of each example multiplied by its gate: [N, C], [N, *spatial, C] -> [N, *spatial, C]."""
    return x * ops.over_space(gate, x).astype(x.dtype)


class SqueezeExcite(nn.Module):
    """x * sigmoid(W2 relu(W1 mean(x))), W1 of C * ratio rows (Hu et al. 2017, eq. 2 to 4)."""

    context: BlockContext
    features: int
    strides: int = 1  # the block's, which its branch has applied; not used here
    ratio: float = 1 / 16
    reduced: int | None = None  # number of rows of W1; None: C * ratio, rounded to a multiple of 8

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        reduced = self.reduced or divisible(self.features * self.ratio)
        y = context.act(context.dense(reduced, name="fc1")(context.global_pool(x)))
        return per_channel(jax.nn.sigmoid(context.dense(self.features, name="fc2")(y)), x)


class EfficientChannelAttention(nn.Module):
    """x * sigmoid(k taps along the channels of mean(x)), k growing with log2 C (Wang et al. 2019, eq. 12)."""

    context: BlockContext
    features: int
    strides: int = 1  # the block's, which its branch has applied; not used here

    @nn.compact
    def __call__(self, x: Array) -> Array:
        size = int((math.log2(self.features) + 1) / 2)
        size = max(3, size if size % 2 else size + 1)
        taps = self.param("kernel", nn.initializers.lecun_normal(), (size, 1, 1), self.context.param_dtype)
        kernel = ops.unshard(taps)
        means = self.context.global_pool(x).astype(self.context.dtype)
        return per_channel(jax.nn.sigmoid(ops.conv_channels(means, kernel)), x)


class SelectiveKernel(nn.Module):
    """Two 3x3 convolutions, one of them dilated, mixed per channel by a softmax (Li et al. 2019, section 3.1).

    [N, *spatial, Ci] -> [N, *spatial/s, features], with norms and activations. With `split` each convolution gets half
    of the input's channels, as in timm's nets of basic blocks.
    """

    context: BlockContext
    features: int
    strides: int = 1
    groups: int = 1
    split: bool = False
    ratio: float = 1 / 16
    divisor: int = 32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, paths = self.context, []
        for i, part in enumerate(jnp.split(x, 2, axis=-1) if self.split else (x, x)):
            y = context.conv(self.features, 3, self.strides, groups=self.groups, dilation=i + 1, name=f"conv_{i}")(part)
            paths.append(context.act(context.norm(name=f"norm_{i}")(y)))
        mixed = paths[0] + paths[1]
        y = ops.over_space(context.global_pool(mixed), mixed)
        y = context.conv(divisible(self.features * self.ratio, self.divisor), 1, name="reduce")(y)
        y = context.act(context.norm(name="reduce_norm")(y))
        logits = context.conv(2 * self.features, 1, name="select")(y)
        gates = jax.nn.softmax(logits.reshape(*logits.shape[:-1], 2, self.features), axis=-2)
        return paths[0] * gates[..., 0, :] + paths[1] * gates[..., 1, :]
