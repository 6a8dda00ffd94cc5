"""Heads: the last feature map to pooled features and logits. [N, *spatial, C] -> ([N, C], [N, K]), at least float32.

Logits are linear in the pooled features, after dropout. With `num_classes` 0 there is no classifier: [N, 0].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.layers import Dense
from resnet_jax.types import Array, at_least_float32

Pooled = tuple[Array, Array]  # pooled features [N, C] and logits [N, K]


class BaseHead(nn.Module):
    """Fields of every head, and the classifier at its end."""

    context: BlockContext
    num_classes: int
    pool: str = "avg"

    pools_by_attention: ClassVar[bool] = False

    def classify(self, pooled: Array) -> Pooled:
        if not self.num_classes:
            return pooled, pooled[:, :0]
        dense = Dense(self.num_classes, pooled.dtype, self.context.param_dtype, name="dense")
        return pooled, dense(self.context.dropout(pooled))


class LinearHead(BaseHead):
    """Global pooling and a dense layer."""

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        return self.classify(self.context.global_pool(x, self.pool))


class NormHead(BaseHead):
    """A norm and an activation, which pre-activation blocks need at the end, then `LinearHead` (He et al. 2016)."""

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        x = self.context.act(self.context.norm(name="norm")(x))
        return self.classify(self.context.global_pool(x, self.pool))


class ConvHead(BaseHead):
    """A 1x1 convolution to `features` channels, a norm and an activation, then `LinearHead` (EfficientNet)."""

    features: int = 1280

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        x = self.context.conv(self.features, 1, name="conv")(x)
        x = self.context.act(self.context.norm(name="norm")(x))
        return self.classify(self.context.global_pool(x, self.pool))


class AttentionPoolHead(BaseHead):
    """CLIP's head: attention whose query is the mean of the map (Radford et al. 2021, section 2.4). It ignores `pool`.

    Each pixel and the mean have a learnt position embedding. They are interpolated for maps that are not `grid` pixels
    a side. `num_classes` is the size of CLIP's embedding; the pooled features are the attention's output.
    """

    grid: int = 7
    head_features: int = 64  # channels of one attention head

    pools_by_attention: ClassVar[bool] = True

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        if self.context.masks is not None:
            raise ValueError("lengths: expected a head that pools by mean or maximum, got AttentionPoolHead")
        n, *sizes, channels = x.shape
        wide = at_least_float32(x.dtype)
        tokens = x.reshape(n, math.prod(sizes), channels).astype(wide)
        tokens = jnp.concatenate([tokens.mean(1, keepdims=True), tokens], axis=1)
        scale = nn.initializers.normal(channels**-0.5)
        embeddings = self.param("pos_embed", scale, (self.grid ** len(sizes) + 1, channels), self.context.param_dtype)
        tokens = tokens + self._resized(ops.unshard(embeddings).astype(wide), sizes)[None]
        heads = channels // self.head_features

        def project(name: str, x: Array) -> Array:
            dense = Dense(channels, wide, self.context.param_dtype, name=name)
            return dense(x).reshape(n, x.shape[1], heads, self.head_features)

        query, key, value = project("q", tokens[:, :1]), project("k", tokens), project("v", tokens)
        ops.add_macs(2 * query.shape[1] * key.size, other=True)
        weights = jnp.einsum("nqhc,nkhc->nhqk", query * self.head_features**-0.5, key)
        pooled = jnp.einsum("nhqk,nkhc->nqhc", jax.nn.softmax(weights, axis=-1), value)
        return self.classify(pooled[:, 0].reshape(n, channels))

    def _resized(self, embeddings: Array, sizes: Sequence[int]) -> Array:
        """Position embeddings of the mean and of a grid of these sizes: [1 + grid**rank, C] -> [1 + prod(sizes), C]."""
        grid = [self.grid] * len(sizes)
        if list(sizes) == grid:
            return embeddings
        cube = embeddings[1:].reshape(*grid, -1)
        resized = jax.image.resize(cube, (*sizes, cube.shape[-1]), "cubic", antialias=True)
        return jnp.concatenate([embeddings[:1], resized.reshape(math.prod(sizes), -1)])
