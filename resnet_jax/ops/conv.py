"""Two-dimensional convolution."""

from __future__ import annotations

import math
from functools import partial

import jax.numpy as jnp
from jax import lax

from resnet_jax.ops.tally import add_macs
from resnet_jax.types import Array

LAYOUT = ("NHWC", "HWIO", "NHWC")
# XLA's CPU convolution loses to a matrix product of patches where the kernel is 1x1, and where the output has at most
# so many pixels, there by up to fifty times (benchmarks/conv_lowering.py). Other platforms are untimed.
SMALL_MAP = 16


def conv2d(x: Array, kernel: Array, *, strides: int = 1, dilation: int = 1, groups: int = 1) -> Array:
    """[N, H, W, Ci], [k, k, Ci/groups, Co] -> [N, ceil(H/strides), ceil(W/strides), Co], for odd k.

    The padding is symmetric, dilation * (k - 1) / 2 on every side: PyTorch's, and not SAME, which at even sizes and
    stride 2 pads one side only.
    """
    library = partial(library_conv, strides=strides, dilation=dilation, groups=groups)
    out = [math.ceil(size / strides) for size in x.shape[1:3]]
    add_macs(x.shape[0] * math.prod(out) * kernel.size)
    if groups == 1 and (kernel.shape[0] == 1 or math.prod(out) <= SMALL_MAP):
        product = partial(patch_product, strides=strides, dilation=dilation)
        return lax.platform_dependent(x, kernel, cpu=product, default=library)
    return library(x, kernel)


def library_conv(x: Array, kernel: Array, *, strides: int, dilation: int, groups: int = 1) -> Array:
    """What XLA offers."""
    pads = [(dilation * (k - 1) // 2,) * 2 for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        pads,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
    )


def patch_product(x: Array, kernel: Array, *, strides: int, dilation: int) -> Array:
    """The same as a matrix product, [N * H' * W', k * k * Ci] by [k * k * Ci, Co]."""
    k, _, channels, features = kernel.shape
    pad = dilation * (k - 1) // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = ((size - 1) // strides * strides + 1 for size in x.shape[1:3])
    taps = [
        padded[:, i : i + height : strides, j : j + width : strides]
        for i in range(0, k * dilation, dilation)
        for j in range(0, k * dilation, dilation)
    ]
    columns = jnp.concatenate(taps, axis=-1)
    y = columns.reshape(-1, k * k * channels) @ kernel.reshape(k * k * channels, features)
    return y.reshape(*columns.shape[:3], features)
