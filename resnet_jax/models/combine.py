"""How F(x) meets the shortcut: modules called with (x, y, s): block input, branch output, shortcut output."""

from __future__ import annotations

import flax.linen as nn

from resnet_jax.models.layers import Layers
from resnet_jax.types import Array


class Add(nn.Module):
    """y + s (He et al. 2015, eq. 1)."""

    layers: Layers

    def __call__(self, x: Array, y: Array, s: Array) -> Array:
        return y + s
