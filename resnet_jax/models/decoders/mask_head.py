"""Masks of regions of interest: He et al. 2017, "Mask R-CNN", section 3. A predicted mask has M = 28 pixels a side."""

from __future__ import annotations

from dataclasses import replace

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.losses import sigmoid_cross_entropy
from resnet_jax.models.decoders.roi_heads import conv_layers
from resnet_jax.models.initializers import Initializer, kaiming_normal
from resnet_jax.models.layers import BiasedConv
from resnet_jax.types import Array, Dtype, at_least_float32


class MaskHead(nn.Module):
    """Regions [R, 14, 14, C] -> [R, 14, 14, features of the last convolution]. `weights` [R]; 0: padding."""

    context: BlockContext
    convs: tuple[int, ...] = (256, 256, 256, 256)
    has_norms: bool = False

    @nn.compact
    def __call__(self, x: Array, weights: Array) -> Array:
        return conv_layers(self.context, self.convs, x, weights, has_norms=self.has_norms)


class MaskPredictor(nn.Module):
    """Regions [R, 14, 14, C] -> logits of a mask for each class, [R, M, M, K], at least float32; M = 2 * 14."""

    context: BlockContext
    num_classes: int
    features: int = 256

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        double = Doubling(self.features, context.dtype, context.param_dtype, name="conv5_mask")
        context = replace(context, make_conv=BiasedConv, dtype=at_least_float32(context.dtype))
        return context.conv(self.num_classes, 1, name="mask_fcn_logits")(context.act(double(x)))


class Doubling(nn.Module):
    """Transposed 2x2 convolution of stride 2, with a bias: [N, H, W, Ci] -> [N, 2H, 2W, features].

    The kernel [2, 2, features, Ci] is that of the convolution that it transposes.
    """

    features: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = kaiming_normal

    @nn.compact
    def __call__(self, x: Array) -> Array:
        n, height, width, channels = x.shape
        kernel = ops.unshard(self.param("kernel", self.kernel_init, (2, 2, self.features, channels), self.param_dtype))
        bias = ops.unshard(self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype))
        ops.add_macs(n * height * width * kernel.size)
        y = jnp.einsum("nhwi,yxoi->nhywxo", x.astype(self.dtype), kernel.astype(self.dtype))
        return y.reshape(n, 2 * height, 2 * width, self.features) + bias.astype(self.dtype)[None, None, None]


def project_masks(masks: Array, boxes: Array, matches: Array, size: Array, side: int) -> Array:
    """RoIAlign of true masks: the part of a mask that each box covers, [R, side, side] in [0, 1].

    Each cell is the mean of ceil(box side / `side`) samples along each axis, bilinear between pixels. The mask ends at
    the image's edge and continues its last row and column there: pixels of the canvas beyond it count nothing.

    Args:
      masks: uint8 [B, H, W] of the canvas, 0 or 1.
      boxes: [R, 4], inside the image.
      matches: int [R], the mask of each box.
      size: int [2], of the image inside the canvas.
    """
    height, width = masks.shape[1:]
    rows = _sampling_weights(boxes[:, 1], boxes[:, 3], size[0], height, side)
    columns = _sampling_weights(boxes[:, 0], boxes[:, 2], size[1], width, side)

    def project(region: tuple[Array, Array, Array]) -> Array:
        row_weights, column_weights, match = region
        mask = masks[match].astype(boxes.dtype)
        return jnp.einsum("ph,hw,qw->pq", row_weights, mask, column_weights, precision=lax.Precision.HIGHEST)

    return lax.map(project, (rows, columns, matches))  # one after another: R masks of the canvas are large


def _sampling_weights(start: Array, end: Array, limit: Array, length: int, side: int) -> Array:
    """Weights of the pixels of an axis in each of `side` cells from `start` to `end` [R]: [R, side, length]."""
    extent = jnp.maximum(end - start, 1)
    samples = jnp.ceil(extent / side)  # per cell
    cell, pixels = jnp.arange(side), jnp.arange(length)[None, None]
    first = start[:, None] + cell[None] * (extent / side)[:, None]

    def add(sample: Array, weights: Array) -> Array:
        at = first + ((sample + 0.5) * (extent / side / samples))[:, None]
        counts = (sample < samples)[:, None] & (at <= limit)
        weight = jnp.maximum(1 - jnp.abs(jnp.clip(at, 0, limit - 1)[:, :, None] - pixels), 0)
        return weights + jnp.where(counts[:, :, None], weight, 0)

    count = -(-length // side)
    total = lax.fori_loop(0, count, add, jnp.zeros((len(start), side, length), start.dtype))
    return total / samples[:, None, None]


def mask_loss(logits: Array, labels: Array, targets: Array, is_positive: Array) -> tuple[Array, Array]:
    """Sum of the binary cross-entropy over the pixels of positive regions' masks, and the number of these pixels.

    Args:
      logits: [R, M, M, K]; the mask of class `labels` int [R] counts.
      targets: [R, M, M] in [0, 1].
      is_positive: bool [R].
    """
    losses = sigmoid_cross_entropy(of_class(logits, labels), targets)
    return losses.sum(where=is_positive[:, None, None]), is_positive.sum() * losses[0].size


def of_class(logits: Array, labels: Array) -> Array:
    """The masks [R, M, M] of class `labels` int [R], of [R, M, M, K]."""
    return jnp.take_along_axis(logits, labels[:, None, None, None], -1)[..., 0]
