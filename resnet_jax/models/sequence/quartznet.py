"""Speech recognition with separable 1-D convolutions (Kriman et al. 2019, "QuartzNet", section 2 and table 1).

Spectrograms [N, frames, bands, 1] -> logits [N, ceil(frames / 2), K] of the classes in every second frame, for the CTC
loss; class 0 is the blank, as in `optax.ctc_loss`. The bands are the channels of the first convolution.
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn

from resnet_jax.models.context import BlockContext
from resnet_jax.models.heads import BaseHead, Pooled
from resnet_jax.models.initializers import depthwise_normal
from resnet_jax.models.layers import Dense
from resnet_jax.types import Array, at_least_float32


class SeparableConv(nn.Module):
    """A depthwise convolution, then a 1x1 (figure 1, "time-channel separable"): [N, L, Ci] -> [N, ceil(L / s), C]."""

    context: BlockContext
    features: int
    kernel_size: int
    strides: int = 1
    dilation: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        depthwise = self.context.conv(
            channels,
            self.kernel_size,
            self.strides,
            groups=channels,
            dilation=self.dilation,
            kernel_init=depthwise_normal,
            name="depthwise",
        )
        return self.context.conv(self.features, 1, name="pointwise")(depthwise(x))


class SeparableBranch(nn.Module):
    """`repeats` separable convolutions with norms, and activations between them: [N, L, Ci] -> [N, L/s, features]."""

    context: BlockContext
    features: int
    strides: int = 1
    repeats: int = 5
    kernel_size: int = 33

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        for i in range(1, self.repeats + 1):
            strides = self.strides if i == 1 else 1
            x = SeparableConv(context, self.features, self.kernel_size, strides, name=f"conv{i}")(x)
            if i < self.repeats:
                x = context.act(context.norm(name=f"norm{i}")(x))
        return context.last_norm(name=f"norm{self.repeats}")(x)


class SeparableStem(nn.Module):
    """A separable convolution with stride 2, a norm and an activation: [N, L, *bands, C] -> [N, ceil(L / 2), features].

    Bands become channels.
    """

    context: BlockContext
    features: int
    kernel_size: int = 33

    total_strides: ClassVar[int] = 2

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = x.reshape(*x.shape[:2], -1)
        x = SeparableConv(self.context, self.features, self.kernel_size, self.total_strides, name="conv")(x)
        x = self.context.act(self.context.norm(name="norm")(x))
        return x, x


class CTCHead(BaseHead):
    """A dilated separable convolution, a 1x1 to `features` channels and a dense layer for each frame.

    [N, L, C] -> ([N, L, features], [N, L, K]). Nothing is pooled.
    """

    features: int = 1024
    kernel_size: int = 87
    dilation: int = 2

    pools_by_attention: ClassVar[bool] = True  # so that another `pool` than the default is refused

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        context = self.context
        y = SeparableConv(context, x.shape[-1], self.kernel_size, dilation=self.dilation, name="conv1")(x)
        y = context.act(context.norm(name="norm1")(y))
        y = context.act(context.norm(name="norm2")(context.conv(self.features, 1, name="conv2")(y)))
        frames = y.astype(at_least_float32(y.dtype))
        if not self.num_classes:
            return frames, frames[..., :0]
        dense = Dense(self.num_classes, frames.dtype, context.param_dtype, name="dense")
        return frames, dense(context.dropout(frames))
