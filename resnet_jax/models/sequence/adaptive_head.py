"""Output layers of large vocabularies."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax.models.heads import BaseHead, Pooled
from resnet_jax.models.layers import Dense
from resnet_jax.types import Array, at_least_float32


class AdaptiveHead(BaseHead):
    """Log-probabilities of the next token, the rarer the token the fewer channels: [N, L, C] -> ([N, L, C], [N, L, K]).

    Grave et al. 2017, "Efficient softmax approximation for GPUs", section 4.2. Tokens are ordered by frequency. The
    first layer has the tokens below `cutoffs[0]` and one entry for each cluster of rarer ones. Cluster i, from
    `cutoffs[i - 1]` to the next, sees C / factor^i channels. Log-probabilities are logits whose softmax is itself, so
    losses and metrics take them. Cutoffs at or above K have no effect.

    All K of them are computed, also in training: the layer saves parameters, and no memory of activations.

    Raises:
      ValueError: cutoffs that do not increase from 1 on.
    """

    cutoffs: tuple[int, ...] = (10_000, 20_000, 200_000)
    factor: int = 4

    pools_by_attention: ClassVar[bool] = True  # so that another `global_pool` than the default is refused

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        if any(low >= high for low, high in pairwise((0, *self.cutoffs))):
            raise ValueError(f"cutoffs: expected increasing numbers of tokens, got {self.cutoffs}")
        wide = x.astype(at_least_float32(x.dtype))
        if not self.num_classes:
            return wide, wide[..., :0]
        dropped = self.context.dropout(wide)
        ends = (*(cutoff for cutoff in self.cutoffs if cutoff < self.num_classes), self.num_classes)
        clusters = len(ends) - 1
        first = jax.nn.log_softmax(self._dense(ends[0] + clusters, "dense")(dropped))
        parts = [first[..., : ends[0]]]
        for i, (low, high) in enumerate(pairwise(ends), 1):
            reduced = max(1, x.shape[-1] // self.factor**i)
            inner = self._dense(high - low, f"tail{i}_up")(self._dense(reduced, f"tail{i}_down")(dropped))
            entry = ends[0] + i - 1
            parts.append(first[..., entry : entry + 1] + jax.nn.log_softmax(inner))
        return wide, jnp.concatenate(parts, axis=-1)

    def _dense(self, features: int, name: str) -> Dense:
        dtype = at_least_float32(self.context.dtype)
        return Dense(features, dtype, self.context.param_dtype, bias_init=None, name=name)
