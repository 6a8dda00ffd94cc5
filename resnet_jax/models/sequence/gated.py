"""Gated convolutional language models (Dauphin et al. 2017, "Language Modeling with Gated Convolutional Networks")."""

from __future__ import annotations

import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.heads import BaseHead, Pooled
from resnet_jax.models.initializers import Initializer, gated_normal, scaled_normal
from resnet_jax.models.layers import Dense
from resnet_jax.models.partials import Partial
from resnet_jax.models.sequence.tokens import TokenNet
from resnet_jax.types import Array, at_least_float32


def identity(x: Array) -> Array:
    """The activation of blocks that end with their addition."""
    return x


class GatedConvs(nn.Module):
    """Causal convolutions a * sigmoid(b), where a and b are the two halves of the channels (equation 1).

    One of `kernel_size`; with `width` three, of 1, `kernel_size` and 1 positions, the first two `width` channels wide.
    Dropout comes before each.
    """

    context: BlockContext
    features: int
    strides: int = 1
    kernel_size: int = 4
    width: int | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        layers = [(self.features, self.kernel_size)]
        if self.width is not None:
            layers = [(self.width, 1), (self.width, self.kernel_size), (self.features, 1)]
        for i, (channels, size) in enumerate(layers, 1):
            conv = self.context.conv(2 * channels, size, kernel_init=gated_normal, name=f"conv{i}")
            value, gate = jnp.split(conv(self.context.layer_dropout(x, i)), 2, axis=-1)
            x = value * jax.nn.sigmoid(gate)
        return x


class HalvedAdd(nn.Module):
    """(y + s) / sqrt(2), which keeps the variance of two independent maps (Gehring et al. 2017, section 3.5)."""

    context: BlockContext
    features: int
    strides: int = 1

    whole_shortcut: ClassVar[bool] = True

    def __call__(self, x: Array, y: Array, s: Array) -> Array:
        return (y + s) * math.sqrt(0.5)


class ProjectionStem(nn.Module):
    """A linear map of each token's embedding: [N, L, E] -> [N, L, features]."""

    context: BlockContext
    features: int

    total_strides: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = self.context.conv(self.features, 1, name="conv")(x)
        return x, x


class TokenHead(BaseHead):
    """Logits of the next token at each position: [N, L, C] -> ([N, L, C], [N, L, K])."""

    pools_by_attention: ClassVar[bool] = True  # so that another `global_pool` than the default is refused

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        wide = x.astype(at_least_float32(x.dtype))
        if not self.num_classes:
            return wide, wide[..., :0]
        dense = Dense(self.num_classes, wide.dtype, self.context.param_dtype, name="dense")
        return wide, dense(self.context.dropout(wide))


class LanguageNet(TokenNet):
    """Texts int [N, L] -> logits [N, L, num_classes]: at each position, those of the token behind it.

    No number of a position depends on a later token. In training, `layer_drop_rate` drops values before the stem and
    before every convolution of a block, `drop_rate` before the output layer.
    """

    embedding_init: Initializer = Partial(scaled_normal, deviation=0.1)

    @nn.nowrap
    def _embedded(self, x: Array, train: bool, index: Array) -> Array:
        if not (train and self.layer_drop_rate):
            return x
        return ops.dropout(x, self.layer_drop_rate, self.make_rng("dropout"), index)
