"""Shortcuts: what F(x) is added to. [N, *spatial, Ci] -> [N, *spatial/s, features]. He et al. 2015, section 4.1."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.deprecated import OldShortcutNames
from resnet_jax.types import Array


class BaseShortcut(OldShortcutNames, nn.Module):
    """Fields and helpers of every shortcut."""

    context: BlockContext
    features: int
    strides: int = 1

    carries_signal: ClassVar[bool] = True  # False: there is no signal without the branch; no zero initialisation

    def keeps_shape(self, x: Array) -> bool:
        return self.strides == 1 and x.shape[-1] == self.features

    def subsample(self, x: Array) -> Array:
        return ops.subsample(x, self.context.effective_strides(self.strides))


class Project(BaseShortcut):
    """Option B: x where the shape stays, a 1x1 convolution and a norm where it changes. Option C with `always`."""

    always: bool = False
    normed: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.keeps_shape(x) and not self.always:
            return x
        y = self.context.conv(self.features, 1, self.strides, name="conv")(x)
        return self.context.norm(name="norm")(y) if self.normed else y


class PooledProject(BaseShortcut):
    """ResNet-D's shortcut: where the shape changes, 2x2 averages take the strides before a 1x1 convolution and a norm.

    He et al. 2018, "Bag of Tricks for Image Classification", section 4. At odd sizes the last window is half outside.
    With an output stride and timm's rule, an average that does not take its strides counts the padding; CLIP's towers
    (`dilated_only`) have no average where the block's first 3x3 is not dilated.
    """

    normed: bool = True
    dilated_only: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.keeps_shape(x):
            return x
        context = self.context
        follows_timm = context.dilation_rule != "resample" and not context.take_strides
        skips_pool = follows_timm and self.dilated_only and context.dilation // self.strides == 1
        if self.strides > 1 and not skips_pool:
            x = context.pool(ops.avg_pool, x, self.strides, window=2, padding=(0, 1), count_padding=follows_timm)
        y = self.context.conv(self.features, 1, name="conv")(x)
        return self.context.norm(name="norm")(y) if self.normed else y


class ZeroPad(BaseShortcut):
    """Option A: every `strides`-th pixel, new channels zero; no parameters.

    The paper does not say where the zeros go: half on each side, or all `behind` the channels (as in fb.resnet.torch).
    """

    behind: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        new = self.features - x.shape[-1]
        if new < 0:
            raise ValueError(f"zero padding: expected at least {x.shape[-1]} output channels, got {self.features}")
        before = 0 if self.behind else new // 2
        return jnp.pad(self.subsample(x), (*[(0, 0)] * (x.ndim - 1), (before, new - before)))


class Zero(BaseShortcut):
    """No shortcut: the plain net."""

    carries_signal: ClassVar[bool] = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return jnp.zeros((*self.subsample(x).shape[:-1], self.features), x.dtype)
