"""U-Net: Ronneberger et al. 2015, on a residual net as segmentation_models_pytorch 0.6 builds it."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.segmenter import Maps, Segmenter, classify
from resnet_jax.ops.resize import resize
from resnet_jax.types import Array


class UNetBlock(nn.Module):
    """Repeats pixels to a size, joins the encoder's map of that size, and convolves twice: -> [N, *size, features]."""

    context: BlockContext
    features: int

    @nn.compact
    def __call__(self, x: Array, size: tuple[int, int], skip: Array | None) -> Array:
        x = resize(x, size, "nearest")
        x = x if skip is None else jnp.concatenate([x, skip], axis=-1)
        for k in (1, 2):
            x = self.context.conv(self.features, 3, name=f"conv{k}")(x)
            x = self.context.act(self.context.norm(name=f"norm{k}")(x))
        return x


class UNetHead(nn.Module):
    """A `UNetBlock` for each map but the coarsest, and one for the image's size; a 3x3 classifier.

    Takes maps [N, h, w, C] from coarse to fine.
    """

    context: BlockContext
    num_classes: int
    features: tuple[int, ...]  # of the blocks

    @nn.compact
    def __call__(self, maps: Sequence[Array], image_size: tuple[int, int]) -> Array:
        x, *skips = maps
        steps: list[tuple[tuple[int, int], Array | None]] = [((y.shape[1], y.shape[2]), y) for y in skips]
        if maps[-1].shape[1:3] != image_size:
            steps.append((image_size, None))
        if len(steps) > len(self.features):
            raise ValueError(f"decoder_features: expected {len(steps)} numbers or more, got {list(self.features)}")
        for k, (size, skip) in enumerate(steps, 1):
            x = UNetBlock(self.context, self.features[k - 1], name=f"block{k}")(x, size, skip)
        return classify(self.context, x, self.num_classes, kernel_size=3)


class UNet(Segmenter):
    """A `UNetHead` on the last map of each stride, from the stem's on."""

    decoder_features: tuple[int, ...] = (256, 128, 64, 32, 16)  # of the blocks, from coarse to fine

    @nn.nowrap
    def decode(self, maps: Maps, train: bool, index: Array, image_size: tuple[int, ...]) -> tuple[Array, Array | None]:
        height, width = image_size
        stem = maps["stem"]
        strides = round(max(height / stem.shape[1], width / stem.shape[2]))
        pyramid = {strides: stem} | self.pyramid(maps)
        head = UNetHead(self.context("decoder", train), self.num_classes, self.decoder_features, name="decoder")
        return head(list(pyramid.values())[::-1], (height, width)), None
