"""Nets that spot keywords (Tang and Lin 2018, "Deep Residual Learning for Small-Footprint Keyword Spotting").

Activations come before norms, and the shortcut adds sums from before the norm. With a sum s and its norm z,

  y = norm(act(conv(z))),  s' = s + act(conv(y)),  z' = norm(s'),

where the first z is s itself. The paper draws a block without saying where the shortcut starts; this is what honk, the
authors' program, computes, its norms without scale and bias included. Inputs are spectrograms [N, frames, bands, 1]:
101 frames of 40 coefficients.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax.models.context import BlockContext
from resnet_jax.models.heads import BaseHead, Pooled
from resnet_jax.models.resnet import Outputs
from resnet_jax.models.sequence.lengths import LengthMasks
from resnet_jax.models.sequence.net import SequenceNet
from resnet_jax.types import Array


class KeywordStem(nn.Module):
    """A 3x3 convolution, an activation and means over windows: [N, L, bands, 1] -> [N, floor(L / s), ..., C].

    What is behind the last whole window is ignored.
    """

    context: BlockContext
    features: int
    total_strides: int = 1  # frames of a window, a power of 2
    bands: int = 1  # of a window

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = self.context.act(self.context.conv(self.features, 3, name="conv")(x))
        n, frames, bands, channels = x.shape
        frames, bands = frames // self.total_strides, bands // self.bands
        whole = x[:, : frames * self.total_strides, : bands * self.bands]
        windows = whole.reshape(n, frames, self.total_strides, bands, self.bands, channels)
        return x, windows.mean((2, 4))


class KeywordBlock(nn.Module):
    """(z, s) -> (norm(s'), s') with s' = s + act(conv2(norm1(act(conv1(z))))): [N, L, bands, C] each.

    Raises:
      ValueError: a block with strides or another number of channels, which these nets do not have.
    """

    context: BlockContext
    features: int
    strides: int = 1
    dilations: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, z: Array, s: Array) -> tuple[Array, Array]:
        context, (first, second) = self.context, self.dilations
        if self.strides > 1 or z.shape[-1] != self.features:
            expected = f"strides of 1 and {z.shape[-1]} channels"
            raise ValueError(f"expected a block with {expected}, got strides of {self.strides} and {self.features}")
        y = context.act(context.conv(self.features, 3, dilation=first, name="conv1")(z))
        y = context.norm(name="norm1")(y)
        y = context.act(context.conv(self.features, 3, dilation=second, name="conv2")(y))
        s = s + (y if context.drop_path is None else context.drop_path(y))
        return context.norm(name="norm2")(s), s


class KeywordHead(BaseHead):
    """norm(act(conv(z))) with a dilated 3x3 convolution, if there is a `dilation`, then pooling and a dense layer."""

    dilation: int | None = None

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        context = self.context
        if self.dilation is not None:
            y = context.act(context.conv(x.shape[-1], 3, dilation=self.dilation, name="conv")(x))
            x = context.norm(name="norm")(y)
        return self.classify(context.global_pool(x, self.pool))


class KeywordNet(SequenceNet):
    """A net of `KeywordBlock`s, which pass the sum from before their last norm: spectrograms -> Outputs."""

    @nn.compact
    def __call__(
        self, images: Array, train: bool, example_index: Array | None = None, lengths: Array | None = None
    ) -> Outputs:
        outputs, _ = self.forward_with_carry(
            images,
            train,
            example_index,
            initial_carry=lambda x: x,
            run_block=lambda block, z, s: block(z, s),
            lengths=lengths,
        )
        return outputs

    def _context(self, stage: str, train: bool, masks: LengthMasks | None = None) -> BlockContext:
        """Behind the stem, a length is that of the whole windows."""
        if masks is not None and stage != "stem":
            stem: Any = self.stem
            masks = whole_windows(masks, stem.total_strides)
        return super()._context(stage, train, masks)


def whole_windows(masks: LengthMasks, window: int) -> LengthMasks:
    """Masks of the input cut to whole windows, whose positions count where all of a window is within the length."""
    return LengthMasks(jnp.repeat(masks.mask[:, window - 1 :: window], window, axis=1))
