"""The head of VDCNN."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn

from resnet_jax import ops
from resnet_jax.models.heads import BaseHead, Pooled
from resnet_jax.models.layers import Dense
from resnet_jax.types import Array, at_least_float32


class KMaxHead(BaseHead):
    """k-max pooling, two dense layers with activations, then a classifier (Conneau et al. 2017, figure 1).

    [N, L, C] -> ([N, hidden], [N, K]). The first dense layer sees the k values of each channel in
    the order of their positions: [N, k * C].
    """

    k: int = 8
    hidden: int = 2048

    pools_by_attention: ClassVar[bool] = True  # so that another `global_pool` than the default is refused

    @nn.compact
    def __call__(self, x: Array) -> Pooled:
        context = self.context
        wide = x.astype(at_least_float32(x.dtype))
        mask = None if context.masks is None else context.masks.at(x)
        y = ops.k_max_pool(wide, self.k, mask=mask).reshape(x.shape[0], self.k * x.shape[-1])
        for i in (1, 2):
            y = context.act(Dense(self.hidden, y.dtype, context.param_dtype, name=f"fc{i}")(y))
        return self.classify(y)
