"""Convolutions of series for CPUs: XLA's of height 1, and kernel gradients as matrix products of windows."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.ops.conv_library import library_conv
from resnet_jax.ops.windows import Pads
from resnet_jax.types import Array

# XLA's kernel gradient loses to products of windows from this many positions of a batch on, with this many channels, in
# and out, and kernels of at most LONGEST elements (benchmarks/conv_lowering.py).
MANY_POSITIONS = 4_096
WIDE_SERIES = 64
LONGEST = 8


def series_conv(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads) -> Array:
    """The convolution of [N, L, Ci], with the faster of two kernel gradients."""
    size, *channels = kernel.shape
    positions = x.shape[0] * x.shape[1]
    is_large = isinstance(positions, int) and positions >= MANY_POSITIONS and min(channels) >= WIDE_SERIES
    if strides == dilation == 1 and 1 < size <= LONGEST and is_large and sum(pads[0]) == size - 1:
        return wide_conv(x, kernel, pads[0][0])
    return row_conv(x, kernel, strides=strides, dilation=dilation, pads=pads)


def row_conv(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads) -> Array:
    """A 1-D convolution as a 2-D one of height 1: XLA's 1-D one takes 3 to 30 times as long at a stem of stride 2."""
    return library_conv(x[:, None], kernel[None], strides=strides, dilation=dilation, pads=[(0, 0), *pads])[:, 0]


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def wide_conv(x: Array, kernel: Array, low: int) -> Array:
    """`row_conv` of stride 1 with the kernel gradient of `window_product`; `low`: padding before the series."""
    return row_conv(x, kernel, strides=1, dilation=1, pads=[(low, kernel.shape[0] - 1 - low)])


@wide_conv.defjvp
def _wide_conv_jvp(low: int, primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (x, kernel), (dx, dkernel) = primals, tangents
    by_kernel = jax.checkpoint(partial(window_product, low=low))  # else the backward pass keeps the windows of x
    return wide_conv(x, kernel, low), wide_conv(dx, kernel, low) + by_kernel(x, dkernel)


def window_product(x: Array, kernel: Array, *, low: int) -> Array:
    """[N, L, Ci], [k, Ci, Co] -> [N, L, Co], a convolution of stride 1 as one matrix product.

    A window of B + k - 1 positions by a band matrix gives B outputs: some products are by 0, yet windows of long
    kernels would be large. The bands are on the left, so that the gradient transposes the output's and not the windows.
    """
    n, length, channels = x.shape
    size, _, features = kernel.shape
    columns = 1 if size <= 3 else 2 if size <= 5 else 4
    width, bands = columns + size - 1, -(-length // columns)
    steps = -(-width // columns)  # of `columns` positions that a window overlaps
    total = (bands + steps - 1) * columns
    padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (low, total - low - length, 0), (0, 0, 0)))
    # One axis is split or merged at a time: on a mesh of explicit axes the batch may be sharded.
    parts = padded.reshape(n, bands + steps - 1, columns, channels).reshape(n, bands + steps - 1, columns * channels)
    windows = jnp.concatenate([parts[:, i : i + bands] for i in range(steps)], axis=-1)[..., : width * channels]
    shifted = [jnp.pad(kernel, ((j, columns - 1 - j), (0, 0), (0, 0))) for j in range(columns)]
    matrix = jnp.stack(shifted, axis=2).reshape(width * channels, columns * features)
    y = lax.dot_general(matrix, windows.reshape(n * bands, width * channels), (((0,), (1,)), ((), ())))
    y = y.T.reshape(n, bands, columns * features).reshape(n, bands, columns, features)
    return y.reshape(n, bands * columns, features)[:, :length]
