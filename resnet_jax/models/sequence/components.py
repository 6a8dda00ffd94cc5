"""Branches, shortcuts, blocks, stems and heads of series nets. Kernels are as long as the papers' tables say."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax.models.context import BlockContext
from resnet_jax.models.heads import BaseHead, Pooled
from resnet_jax.models.layers import BiasedConv
from resnet_jax.models.sequence.lengths import last_position
from resnet_jax.models.shortcuts import BaseShortcut
from resnet_jax.types import Array, at_least_float32


class IdentityStem(nn.Module):
    """No stem: stage 1 gets the series."""

    context: BlockContext
    features: int

    total_strides: ClassVar[int] = 1

    def __call__(self, x: Array) -> tuple[Array, Array]:
        return x, x


class LastHead(BaseHead):
    """The last position of each series and a dense layer, for causal nets. It ignores `pool`."""

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        masks = self.context.masks
        last = last_position(x, None if masks is None else masks.at(x))
        return self.classify(last.astype(at_least_float32(x.dtype)))


class NormProject(BaseShortcut):
    """A norm where the number of channels stays, a 1x1 convolution and a norm where it changes.

    Wang et al. 2017, "Time Series Classification from Scratch", as in its authors' program.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if not self.keeps_shape(x):
            x = self.context.conv(self.features, 1, self.strides, name="conv")(x)
        return self.context.norm(name="norm")(x)


class ConvBlock(nn.Module):
    """act(norm(conv(x))), without a shortcut: [N, *spatial, Ci] -> [N, *spatial/s, features].

    The block of the FCN (Wang et al. 2017, section III.B) and of M5 to M18 (Dai et al. 2016, table 1).
    """

    context: BlockContext
    features: int
    strides: int = 1
    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.context.conv(self.features, self.kernel_size, self.strides, name="conv")(x)
        return self.context.act(self.context.norm(name="norm")(y))


class ConvStack(nn.Module):
    """A convolution and a norm for each of `kernels`, with activations between them (Wang et al. 2017, figure 1c).

    The last norm's scale starts at 1, as in the paper.
    """

    context: BlockContext
    features: int
    strides: int = 1
    kernels: tuple[int, ...] = (8, 5, 3)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for k, size in enumerate(self.kernels, 1):
            x = self.context.act(x) if k > 1 else x
            x = self.context.conv(self.features, size, self.strides if k == 1 else 1, name=f"conv{k}")(x)
            x = self.context.norm(name=f"norm{k}")(x)
        return x


class InceptionModule(nn.Module):
    """[N, L, Ci] -> [N, L, features]: convolutions of several lengths beside a pooled one, a norm and an activation.

    Ismail Fawaz et al. 2020, "InceptionTime", figure 2. Each path has features / (len(kernels) + 1) channels. A linear
    1x1 convolution reduces the channels before the long convolutions; a series of one channel has none.

    Raises:
      ValueError: the number of paths does not divide `features`.
    """

    context: BlockContext
    features: int
    kernels: tuple[int, ...] = (40, 20, 10)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, paths = self.context, len(self.kernels) + 1
        if self.features % paths:
            raise ValueError(f"features: expected a multiple of {paths}, one part for each path, got {self.features}")
        width = self.features // paths
        reduced = context.conv(width, 1, name="reduce")(x) if x.shape[-1] > 1 else x
        maps = [context.conv(width, size, name=f"conv{k}")(reduced) for k, size in enumerate(self.kernels, 1)]
        pooled = context.max_pool(x, window=3, strides=1, padding=1)
        maps.append(context.conv(width, 1, name="pool_conv")(pooled))
        return context.act(context.norm(name="norm")(jnp.concatenate(maps, axis=-1)))


class Inception(nn.Module):
    """`depth` inception modules, one after another (Ismail Fawaz et al. 2020, figure 1).

    Raises:
      ValueError: `strides` other than 1.
    """

    context: BlockContext
    features: int
    strides: int = 1
    depth: int = 3
    kernels: tuple[int, ...] = (40, 20, 10)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.strides != 1:
            raise ValueError(f"strides: expected 1, got {self.strides}")
        for i in range(self.depth):
            x = InceptionModule(self.context, self.features, self.kernels, name=f"module{i}")(x)
        return x


class BiasedProject(BaseShortcut):
    """x where the shape stays, a 1x1 convolution with a bias where it changes (Bai et al. 2018, figure 1b)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.keeps_shape(x):
            return x
        return self.context.with_conv(BiasedConv).conv(self.features, 1, self.strides, name="conv")(x)


class DilatedConvs(nn.Module):
    """Two dilated convolutions and activations: with `WeightNormConv` the branch of Bai et al. 2018, figure 1b.

    Both have the same dilation. Dropout comes behind each activation.
    """

    context: BlockContext
    features: int
    strides: int = 1
    kernel_size: int = 7
    dilation: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for k, strides in ((1, self.strides), (2, 1)):
            conv = self.context.conv(self.features, self.kernel_size, strides, dilation=self.dilation, name=f"conv{k}")
            x = self.context.layer_dropout(self.context.act(conv(x)), k)
        return x
