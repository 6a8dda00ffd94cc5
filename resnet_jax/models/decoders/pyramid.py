"""PSPNet and UPerNet, as segmentation_models_pytorch 0.6 builds them.

Zhao et al. 2017, "Pyramid Scene Parsing Network"; Xiao et al. 2018, "Unified Perceptual Parsing for Scene
Understanding".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.segmenter import Maps, Segmenter, classify
from resnet_jax.models.layers import BiasedConv, LayerNorm
from resnet_jax.ops.resize import resize
from resnet_jax.types import Array

GRIDS = (1, 2, 3, 6)  # means over so many parts along each axis (Zhao et al. 2017, section 3.2)


class ConvNormAct(nn.Module):
    """A convolution, a norm and an activation: [N, h, w, C] -> [N, h, w, features]. Without the norm it has a bias."""

    context: BlockContext
    features: int
    kernel_size: int = 1
    normed: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context if self.normed else self.context.with_conv(BiasedConv)
        y = context.conv(self.features, self.kernel_size, name="conv")(x)
        return context.act(context.norm(name="norm")(y) if self.normed else y)


class PyramidPooling(nn.Module):
    """Means over grids of `GRIDS` parts, a convolution each, resized, beside the map itself: [N, h, w, C + 4 features].

    The map comes first or last.
    """

    context: BlockContext
    features: int
    aligns_corners: bool
    map_first: bool
    mean_normed: bool  # whether the convolution of the global mean has a norm

    @nn.compact
    def __call__(self, x: Array) -> Array:
        size = (x.shape[1], x.shape[2])
        levels = []
        for k, grid in enumerate(GRIDS, 1):
            normed = self.mean_normed or grid > 1
            block = ConvNormAct(self.context, self.features, normed=normed, name=f"level{k}")
            y = block(ops.adaptive_avg_pool(x, grid))
            levels.append(resize(y, size, "bilinear", align_corners=self.aligns_corners))
        return jnp.concatenate([x, *levels] if self.map_first else [*levels, x], axis=-1)


class PSPHead(nn.Module):
    """Pyramid pooling, a 1x1 convolution, dropout of whole channels, a 3x3 classifier: [N, h, w, C] -> [N, h, w, K]."""

    context: BlockContext
    num_classes: int
    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        inner = x.shape[-1] // len(GRIDS)
        y = PyramidPooling(self.context, inner, True, map_first=False, mean_normed=False, name="pyramid")(x)
        y = self.context.act(self.context.norm(name="norm")(self.context.conv(self.features, 1, name="conv")(y)))
        scales = self.context.dropout(jnp.ones((y.shape[0], 1, 1, y.shape[-1]), y.dtype))
        return classify(self.context, y * scales, self.num_classes, kernel_size=3)


class PSPNet(Segmenter):
    """A `PSPHead` on the last map of stride 8, or of the coarsest stride below it.

    Later stages are not computed; they have parameters, because segmentation_models_pytorch's files do.
    """

    dropout_rate: float = 0.2  # of channels before the classifier
    decoder_features: int = 512

    aligns_corners: ClassVar[bool] = True

    @nn.nowrap
    def unused_stages(self) -> tuple[str, ...]:
        strides = self.stage_strides()
        return tuple(name for name in strides if strides[name] > self._stride())

    @nn.nowrap
    def _stride(self) -> int:
        strides = self.stage_strides().values()
        return max((stride for stride in strides if stride <= 8), default=min(strides))

    @nn.nowrap
    def decode(self, maps: Maps, train: bool, index: Array, image_size: tuple[int, ...]) -> tuple[Array, Array | None]:
        context = replace(self.context("decoder", train), dropout=self.dropout(self.dropout_rate, train, index))
        head = PSPHead(context, self.num_classes, self.decoder_features, name="decoder")
        return head(self.pyramid(maps)[self._stride()]), None


class UPerHead(nn.Module):
    """Pyramid pooling of the coarsest map, added to finer ones from map to map; all fused at the finest map's size.

    Takes maps [N, h, w, C] from fine to coarse, gives logits of the first's size.
    """

    context: BlockContext
    num_classes: int
    features: int

    @nn.compact
    def __call__(self, maps: Sequence[Array]) -> Array:
        context, types = self.context, {"dtype": self.context.dtype, "param_dtype": self.context.param_dtype}
        *finer, coarsest = [LayerNorm(name=f"map_norm{k}", **types)(x) for k, x in enumerate(maps, 1)]
        pool = PyramidPooling(context, self.features, False, map_first=True, mean_normed=True, name="pyramid")
        state = ConvNormAct(context, self.features, 3, name="pyramid_fuse")(pool(coarsest))
        states = [state]
        for k, x in enumerate(reversed(finer), 1):
            lateral = ConvNormAct(context, self.features, name=f"lateral{k}")(x)
            state = lateral + _like(state, lateral)
            states.append(ConvNormAct(context, self.features, 3, name=f"output{k}")(state))
        fused = jnp.concatenate([_like(x, states[-1]) for x in reversed(states)], axis=-1)
        return classify(context, ConvNormAct(context, self.features, 3, name="fuse")(fused), self.num_classes)


def _like(x: Array, other: Array) -> Array:
    """`x` resized to the height and width of another map."""
    return resize(x, (other.shape[1], other.shape[2]), "bilinear")


class UPerNet(Segmenter):
    """A `UPerHead` on the last map of each stride from 4, or from the finest two if there is no more."""

    decoder_features: int = 256

    aligns_corners: ClassVar[bool] = True

    @nn.nowrap
    def decode(self, maps: Maps, train: bool, index: Array, image_size: tuple[int, ...]) -> tuple[Array, Array | None]:
        pyramid = self.pyramid(maps)
        used: Any = [x for strides, x in pyramid.items() if strides >= 4]
        used = used if len(used) > 1 else list(pyramid.values())
        head = UPerHead(self.context("decoder", train), self.num_classes, self.decoder_features, name="decoder")
        return head(used), None
