"""Blocks: a branch and its shortcut, with the norms and activations around them."""

from __future__ import annotations

import flax.linen as nn

from resnet_jax.models.branches import Basic, MBConv, PreActBasic
from resnet_jax.models.combine import Add, HighwayGate
from resnet_jax.models.context import Activation, BlockContext
from resnet_jax.models.deprecated import make_component
from resnet_jax.models.partials import Partial
from resnet_jax.models.protocols import Attend, Branch, Combine, Shortcut, StemPool
from resnet_jax.models.shortcuts import Project
from resnet_jax.types import Array


class Residual(nn.Module):
    """act(combine(x, attend(branch(x)), shortcut(x))): [N, *spatial, Ci] -> [N, *spatial/s, features].

    He et al. 2015, figure 2.
    """

    context: BlockContext
    features: int
    strides: int = 1
    branch: Branch = Basic
    shortcut: Shortcut = Project
    combine: Combine = Add
    attend: Attend | None = None
    pool: StemPool | None = None  # takes strides of 2, before the branch and the shortcut
    act: Activation | None = None  # behind the combination; None: the context's

    @nn.compact
    def __call__(self, x: Array) -> Array:
        strides = self.strides
        if self.pool is not None and strides > 1:
            x, strides = self._pooled(self.pool, x), 1
        shortcut = self.shortcut(self.context, self.features, strides, name="shortcut")
        combine = make_component(self.combine, self.context, self.features, strides, name="combine")
        starts_as_shortcut = shortcut.carries_signal and getattr(combine, "whole_shortcut", True)
        context = self.context if starts_as_shortcut else self.context.without_zero_init()
        y = self.branch(context, self.features, strides, name="branch")(x)
        if self.attend is not None:
            y = make_component(self.attend, context, self.features, strides, name="attend")(y)
        if context.drop_path is not None:
            if not shortcut.carries_signal:
                raise ValueError("drop_path needs shortcuts; a plain net would drop the image itself")
            y = context.drop_path(y)
        return (self.act or context.act)(combine(x, y, shortcut(x)))

    def _pooled(self, pool: StemPool, x: Array) -> Array:
        if self.strides != 2 or not self.context.take_strides:
            raise ValueError(f"a block that pools takes strides of 2 and no output stride, got {self.strides}")
        return pool(self.context, name="pool")(x)


class PreActResidual(nn.Module):
    """branch(z) + shortcut(x), z = act(norm(x)); where the shape changes, branch(z) + shortcut(z).

    [N, *spatial, Ci] -> [N, *spatial/s, features].
    He et al. 2016, "Identity Mappings in Deep Residual Networks", figure 4e.
    """

    context: BlockContext
    features: int
    strides: int = 1
    branch: Branch = PreActBasic
    shortcut: Shortcut = Partial(Project, normed=False)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        z = context.act(context.norm(name="norm1")(x))
        shortcut = self.shortcut(context, self.features, self.strides, name="shortcut")
        y = self.branch(context, self.features, self.strides, name="branch")(z)
        if context.drop_path is not None:
            y = context.drop_path(y)
        return y + (x if shortcut.keeps_shape(x) else shortcut(z))


class InvertedResidual(nn.Module):
    """branch(x) + x where the shape stays, else branch(x); no activation (Sandler et al. 2018, section 3.3).

    [N, *spatial, Ci] -> [N, *spatial/s, features].
    """

    context: BlockContext
    features: int
    strides: int = 1
    branch: Branch = MBConv

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.branch(self.context, self.features, self.strides, name="branch")(x)
        if self.strides > 1 or x.shape[-1] != self.features:
            return y
        if self.context.drop_path is not None:
            y = self.context.drop_path(y)
        return y + x


class HighwayDense(nn.Module):
    """combine(x, act(dense(x)), x): [N, C] -> [N, C], the fully connected highway layer (Srivastava et al. 2015)."""

    context: BlockContext
    combine: Combine = HighwayGate

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.context.act(self.context.dense(x.shape[-1], name="dense")(x))
        return make_component(self.combine, self.context, x.shape[-1], 1, name="combine")(x, y, x)
