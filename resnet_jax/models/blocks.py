"""Blocks: the order of operations around a branch and its shortcut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import flax.linen as nn

from resnet_jax.models.branches import Basic, MBConv, PreActBasic
from resnet_jax.models.combine import Add, HighwayGate
from resnet_jax.models.layers import Layers
from resnet_jax.models.partials import Partial
from resnet_jax.models.shortcuts import Project, Shortcut
from resnet_jax.types import Array


class Residual(nn.Module):
    """act(combine(x, attend(branch(x)), shortcut(x))): [N, H, W, Ci] -> [N, H/s, W/s, features].

    He et al. 2015, figure 2.
    """

    layers: Layers
    features: int
    strides: int = 1
    branch: Callable[..., nn.Module] = Basic  # (layers, features, strides, name=) -> module: F(x)
    shortcut: Callable[..., Shortcut] = Project  # same call, same output shape
    combine: Callable[..., nn.Module] = Add  # (layers, name=) -> module(x, y, s)
    attend: Callable[..., nn.Module] | None = None  # (layers, name=) -> module(y): attention over channels

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shortcut = self.shortcut(self.layers, self.features, self.strides, name="shortcut")
        combine = self.combine(replace(self.layers, block_strides=self.strides), name="combine")
        carried = shortcut.carries_signal and getattr(combine, "whole_shortcut", True)
        layers = self.layers if carried else self.layers.without_zero_init()
        y = self.branch(layers, self.features, self.strides, name="branch")(x)
        if self.attend is not None:
            y = self.attend(layers, name="attend")(y)
        if layers.drop_path is not None:
            if not shortcut.carries_signal:
                raise ValueError("drop_path needs shortcuts: in a plain net it would drop the image itself")
            y = layers.drop_path(y)
        return layers.act(combine(x, y, shortcut(x)))


class PreActResidual(nn.Module):
    """branch(z) + shortcut(x) with z = act(norm(x)); where the shape changes the shortcut too is of z.

    [N, H, W, Ci] -> [N, H/s, W/s, features]. He et al. 2016, "Identity Mappings in Deep Residual Networks", figure 4e.
    """

    layers: Layers
    features: int
    strides: int = 1
    branch: Callable[..., nn.Module] = PreActBasic
    shortcut: Callable[..., Shortcut] = Partial(Project, normed=False)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        layers = self.layers
        z = layers.act(layers.norm(name="norm1")(x))
        shortcut = self.shortcut(layers, self.features, self.strides, name="shortcut")
        y = self.branch(layers, self.features, self.strides, name="branch")(z)
        if layers.drop_path is not None:
            y = layers.drop_path(y)
        return y + (x if shortcut.keeps_shape(x) else shortcut(z))


class InvertedResidual(nn.Module):
    """x + branch(x) where the shape stays, else branch(x); no activation (Sandler et al. 2018, section 3.3).

    [N, H, W, Ci] -> [N, H/s, W/s, features].
    """

    layers: Layers
    features: int
    strides: int = 1
    branch: Callable[..., nn.Module] = MBConv

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.branch(self.layers, self.features, self.strides, name="branch")(x)
        if self.strides > 1 or x.shape[-1] != self.features:
            return y
        if self.layers.drop_path is not None:
            y = self.layers.drop_path(y)
        return y + x


class HighwayDense(nn.Module):
    """combine(x, act(dense(x)), x): [N, C] -> [N, C], the fully connected highway layer (Srivastava et al. 2015)."""

    layers: Layers
    combine: Callable[..., nn.Module] = HighwayGate

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.layers.act(self.layers.dense(x.shape[-1], name="dense")(x))
        return self.combine(self.layers, name="combine")(x, y, x)
