"""DeepLabV3 as torchvision builds it, and DeepLabV3+ as segmentation_models_pytorch 0.6 does.

Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation"; Chen et al. 2018, "Encoder-Decoder
with Atrous Separable Convolution for Semantic Image Segmentation".
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.fcn import AuxiliarySegmenter
from resnet_jax.models.decoders.segmenter import Maps, Segmenter, classify
from resnet_jax.models.initializers import depthwise_normal
from resnet_jax.ops.resize import resize
from resnet_jax.types import Array

SKIP_FEATURES = 48  # channels of the fine map in DeepLabV3+ (Chen et al. 2018, section 4.1)


class SpatialPyramid(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2017, section 3.3): [N, h, w, C] -> [N, h, w, features].

    A 1x1 convolution, a 3x3 one for each dilation in `rates` and the image's mean, side by side; then a 1x1
    convolution and dropout.
    """

    context: BlockContext
    features: int
    rates: tuple[int, ...]
    separable: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, act = self.context, self.context.act
        branches = [act(context.norm(name="norm0")(context.conv(self.features, 1, name="conv0")(x)))]
        for i, rate in enumerate(self.rates, 1):
            y = conv3x3(context, x, self.features, str(i), dilation=rate, separable=self.separable)
            branches.append(act(context.norm(name=f"norm{i}")(y)))
        mean = ops.global_pool(x)[:, None, None].astype(x.dtype)
        mean = act(context.norm(name="pool_norm")(context.conv(self.features, 1, name="pool_conv")(mean)))
        branches.append(jnp.broadcast_to(mean, (*x.shape[:-1], self.features)))
        y = context.conv(self.features, 1, name="project_conv")(jnp.concatenate(branches, axis=-1))
        return context.dropout(act(context.norm(name="project_norm")(y)))


def conv3x3(
    context: BlockContext, x: Array, features: int, suffix: str = "", *, dilation: int = 1, separable: bool = False
) -> Array:
    """A 3x3 convolution, or a depthwise and a 1x1 one, named "depthwise" and "conv" with a suffix."""
    if not separable:
        return context.conv(features, 3, dilation=dilation, name=f"conv{suffix}")(x)
    depthwise = context.conv(
        x.shape[-1], 3, dilation=dilation, groups=x.shape[-1], kernel_init=depthwise_normal, name=f"depthwise{suffix}"
    )
    x = depthwise(x)
    return context.conv(features, 1, name=f"conv{suffix}")(x)


class DeepLabHead(nn.Module):
    """A spatial pyramid, a 3x3 convolution and the classifier: [N, h, w, C] -> [N, h, w, K]."""

    context: BlockContext
    num_classes: int
    features: int
    rates: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        y = SpatialPyramid(context, self.features, self.rates, name="aspp")(x)
        y = context.act(context.norm(name="norm")(context.conv(self.features, 3, name="conv")(y)))
        return classify(context, y, self.num_classes)


class DeepLabV3(AuxiliarySegmenter):
    """A `DeepLabHead` on the last stage, of output stride 8 in torchvision's nets."""

    dropout_rate: float = 0.5  # in the spatial pyramid; 0: no dropout in the auxiliary head either
    decoder_features: int = 256
    rates: tuple[int, ...] = (12, 24, 36)  # dilations of the spatial pyramid

    @nn.nowrap
    def decode(self, maps: Maps, train: bool, index: Array, image_size: tuple[int, ...]) -> tuple[Array, Array | None]:
        context = replace(self.context("decoder", train), dropout=self.dropout(self.dropout_rate, train, index))
        head = DeepLabHead(context, self.num_classes, self.decoder_features, self.rates, name="decoder")
        return head(maps[f"stage{len(self.stages)}"]), self.auxiliary_logits(maps, train, index)


class DeepLabPlusHead(nn.Module):
    """A separable spatial pyramid, resized to a finer map and fused with it: [N, h, w, C], [N, H', W', C'] -> logits.

    The logits have the size of the finer map.
    """

    context: BlockContext
    num_classes: int
    features: int
    rates: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array, fine: Array) -> Array:
        context, act = self.context, self.context.act
        y = SpatialPyramid(context, self.features, self.rates, separable=True, name="aspp")(x)
        y = act(context.norm(name="norm")(conv3x3(context, y, self.features, separable=True)))
        y = resize(y, (fine.shape[1], fine.shape[2]), "bilinear", align_corners=True)
        skip = act(context.norm(name="skip_norm")(context.conv(SKIP_FEATURES, 1, name="skip_conv")(fine)))
        y = conv3x3(context, jnp.concatenate([y, skip], axis=-1), self.features, "_fuse", separable=True)
        return classify(context, act(context.norm(name="norm_fuse")(y)), self.num_classes)


class DeepLabV3Plus(Segmenter):
    """A `DeepLabPlusHead` on the last stage and the last map of stride 4, or of the finest stride there is."""

    dropout_rate: float = 0.5  # in the spatial pyramid
    decoder_features: int = 256
    rates: tuple[int, ...] = (12, 24, 36)  # dilations of the spatial pyramid

    aligns_corners: ClassVar[bool] = True

    @nn.nowrap
    def decode(self, maps: Maps, train: bool, index: Array, image_size: tuple[int, ...]) -> tuple[Array, Array | None]:
        context = replace(self.context("decoder", train), dropout=self.dropout(self.dropout_rate, train, index))
        pyramid = self.pyramid(maps)
        fine = pyramid[max((strides for strides in pyramid if strides <= 4), default=min(pyramid))]
        head = DeepLabPlusHead(context, self.num_classes, self.decoder_features, self.rates, name="decoder")
        return head(maps[f"stage{len(self.stages)}"], fine), None
