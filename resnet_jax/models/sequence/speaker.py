"""Nets that tell speakers apart: 2-D trunks on spectrograms [N, frames, bands, 1], statistics over the frames.

The pooled features are the embedding of an utterance, [N, E], for any number of frames; the number of bands is fixed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.heads import BaseHead, Pooled
from resnet_jax.models.initializers import linear_uniform
from resnet_jax.models.layers import BiasedConv
from resnet_jax.models.sequence.lengths import over_positions, zero_behind
from resnet_jax.types import Array, Dtype, at_least_float32


class PreActTriple(nn.Module):
    """Two 3x3 convolutions and a 1x1, each behind its norm and activation: speechbrain's branch.

    [N, *spatial, Ci] -> [N, *spatial/s, features].
    """

    context: BlockContext
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        y = context.act(context.norm(name="norm1")(x))
        y = context.conv(self.features, 3, self.strides, name="conv1")(y)
        y = context.act(context.norm(name="norm2")(y))
        y = context.conv(self.features, 3, name="conv2")(y)
        y = context.act(context.norm(name="norm3")(y))
        return context.last_conv(self.features, 1, name="conv3")(y)


class BaseStatisticsHead(BaseHead):
    """Fields and helpers of heads that pool statistics over the frames; they ignore `pool`."""

    embedding: int = 256

    pools_by_attention: ClassVar[bool] = True  # so that another `pool` than the default is refused

    def wide_context(self, x: Array, *, has_frames: bool) -> BlockContext:
        """The context in at least float32, for maps of frames or for vectors."""
        context = self.context
        return replace(context, dtype=at_least_float32(x.dtype), masks=context.masks if has_frames else None)


class StatisticsHead(BaseStatisticsHead):
    """Mean and deviation over the frames, and a dense layer to the embedding (Snyder et al. 2018, "X-Vectors").

    The deviation is sqrt(var + `epsilon`), with the biased variance.
    """

    epsilon: float = 1e-7

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        context = self.wide_context(x, has_frames=True)
        frames = merge_bands(x).astype(context.dtype)
        mean = context.global_pool(frames)
        var = context.global_pool(jnp.square(frames - mean[:, None]))
        statistics = jnp.concatenate([mean, jnp.sqrt(var + self.epsilon)], axis=-1)
        return self.classify(context.dense(self.embedding, name="embed")(statistics))


class AttentiveStatisticsHead(BaseStatisticsHead):
    """Weighted mean and deviation over the frames, a norm, the embedding and its norm: speechbrain's.

    Every channel of every band has weights of its own (Okabe et al. 2018, "Attentive Statistics Pooling", eq. 5 to 7).
    Logits are `scale` times the cosine of the embedding and a vector for each class, without margin.
    """

    attention: int = 128  # channels of the attention's inner layer
    var_floor: float = 1e-5
    scale: float = 30.0

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        context, vectors = self.wide_context(x, has_frames=True), self.wide_context(x, has_frames=False)
        frames = merge_bands(x).astype(context.dtype)
        biased = context.with_conv(BiasedConv)
        y = context.norm(name="attend_norm")(context.act(biased.conv(self.attention, 1, name="attend1")(frames)))
        logits = biased.conv(frames.shape[-1], 1, name="attend2")(y)
        if context.masks is not None:
            mask = context.masks.at(frames)
            frames = zero_behind(frames, mask)
            logits = jnp.where(over_positions(mask, logits), logits, jnp.finfo(logits.dtype).min)
        weights = jax.nn.softmax(logits, axis=1)
        mean, square = (frames * weights).sum(1), (frames * frames * weights).sum(1)
        var = square - mean * mean
        deviation = jnp.sqrt(jnp.where(var < self.var_floor, self.var_floor, var))  # a maximum might lose NaN
        # Rows of length 0 fill up a batch.
        rows = None if context.masks is None else context.masks.mask.any(1)
        statistics = vectors.norm(name="norm", weights=rows)(jnp.concatenate([mean, deviation], axis=-1))
        embedding = vectors.dense(self.embedding, name="embed")(statistics)
        embedding = vectors.norm(name="embed_norm", weights=rows)(embedding)
        if not self.num_classes:
            return embedding, embedding[:, :0]
        cosine = Cosine(self.num_classes, embedding.dtype, self.context.param_dtype, name="dense")
        return embedding, self.scale * cosine(self.context.dropout(embedding))


class Cosine(nn.Module):
    """Cosines of the input and a vector for each class: [N, C] -> [N, features]; 0 where the input is 0."""

    features: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = ops.unshard(self.param("kernel", linear_uniform, (x.shape[-1], self.features), self.param_dtype))
        return ops.dense(unit(x.astype(self.dtype), axis=1), unit(kernel.astype(self.dtype), axis=0))


def unit(x: Array, axis: int) -> Array:
    """x divided by its length along `axis`, or by 1e-12 where it is shorter."""
    square = jnp.square(x).sum(axis, keepdims=True)
    return x * lax.rsqrt(jnp.where(square < 1e-24, 1e-24, square))


def merge_bands(x: Array) -> Array:
    """[N, frames, bands, C] -> [N, frames, C * bands], the bands of a channel next to each other."""
    n, frames, bands, channels = x.shape
    return x.swapaxes(2, 3).reshape(n, frames, channels * bands)
