"""Nets of raw waveforms (Dai et al. 2016, "Very Deep Convolutional Neural Networks for Raw Waveforms", table 1).

A convolution of 80 samples with stride 4, then kernels of 3. Max pools of 4 positions stand behind the first
convolution and between the stages; a pool of L positions has ceil(L / 4), whose last window may be shorter.

The residual blocks of M34-res are act(norm(branch(x) + shortcut(x))), where the shortcut repeats channels. The paper
does not print how the shortcut widens or where the last norm stands; both are as in philipperemy's Keras program of
these nets, which reports its authors' advice.
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.heads import LinearHead, Pooled
from resnet_jax.models.protocols import Block
from resnet_jax.models.sequence.components import ConvBlock
from resnet_jax.models.sequence.lengths import over_positions, zero_behind
from resnet_jax.models.shortcuts import BaseShortcut
from resnet_jax.types import Array

POOL = 4  # window and strides of a pool


def pool_windows(context: BlockContext, x: Array, strides: int) -> Array:
    """[N, L, *other, C] -> [N, ceil(L / s), *ceil(other / s), C]: maxima of neighbouring windows of `strides`.

    The last window ends where the map ends, and with the context's masks where each example ends.
    """
    mask = None if context.masks is None else context.masks.at(x)
    if mask is not None:
        x = jnp.where(over_positions(mask, x), x, -jnp.inf)
    pads = [(0, 0), *((0, -size % strides) for size in x.shape[1:-1]), (0, 0)]
    y = ops.max_pool(jnp.pad(x, pads, constant_values=-jnp.inf), window=strides, strides=strides, padding=0)
    return y if mask is None else zero_behind(y, mask[:, ::strides])


class WaveformStem(nn.Module):
    """A convolution of 80 samples with stride 4, a norm, an activation and a max pool (table 1, the first two rows)."""

    context: BlockContext
    features: int
    kernel_size: int = 80

    total_strides: ClassVar[int] = 4 * POOL

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = self.context.conv(self.features, self.kernel_size, 4, name="conv")(x)
        x = self.context.act(self.context.norm(name="norm")(x))
        return x, pool_windows(self.context, x, POOL)


class PooledBlock(nn.Module):
    """block(pool(x)), where a max pool takes the strides: [N, *spatial, Ci] -> [N, *ceil(spatial / s), features]."""

    context: BlockContext
    features: int
    strides: int = 1
    block: Block = ConvBlock

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.strides > 1:
            x = pool_windows(self.context, x, self.strides)
        return self.block(self.context, self.features, 1, name="block")(x)


class PooledHead(LinearHead):
    """A max pool, then `LinearHead`: M5 has a pool behind its last convolution."""

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        return self.classify(self.context.global_pool(pool_windows(self.context, x, POOL), self.pool))


class RepeatChannels(BaseShortcut):
    """Each channel repeated features / Ci times, next to itself; no parameters. Strides take every s-th position.

    Raises:
      ValueError: the input's channels do not divide `features`.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        if self.features % channels:
            expected = f"a multiple of {channels} output channels"
            raise ValueError(f"repeated channels: expected {expected}, got {self.features}")
        return jnp.repeat(self.subsample(x), self.features // channels, axis=-1)


class NormedAdd(nn.Module):
    """norm(y + s), a combine slot."""

    context: BlockContext
    features: int
    strides: int = 1

    whole_shortcut: ClassVar[bool] = True

    @nn.compact
    def __call__(self, x: Array, y: Array, s: Array) -> Array:
        return self.context.norm(name="norm")(y + s)
