"""Two-dimensional convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.ops.conv_cpu import sliced_conv
from resnet_jax.ops.sharding import is_sharded
from resnet_jax.ops.tally import add_macs
from resnet_jax.types import Array

LAYOUT = ("NHWC", "HWIO", "NHWC")
# XLA's CPU convolution loses to a matrix product of patches where the kernel is 1x1, and where the output has at most
# so many pixels, there by up to fifty times (benchmarks/conv_lowering.py). Other platforms are untimed.
SMALL_MAP = 16
# With at most so many channels, in and out, the kernel gradient of XLA's loses to products of bands of so many columns.
NARROW = 32
BAND = 4


def conv2d(
    x: Array, kernel: Array, *, strides: int = 1, dilation: int = 1, groups: int = 1, same: bool = False
) -> Array:
    """[N, H, W, Ci], [k, k, Ci/groups, Co] -> [N, ceil(H/strides), ceil(W/strides), Co].

    The padding is dilation * floor((k - 1) / 2) before and dilation * floor(k / 2) behind: for odd k symmetric, as
    PyTorch's. With `same` it is TensorFlow's SAME, which at even sizes and stride 2 pads more behind than before.
    """
    out = [-(-size // strides) for size in x.shape[1:3]]
    pads = _pads(x, kernel.shape[0], strides, dilation, same)
    library = partial(library_conv, strides=strides, dilation=dilation, groups=groups, pads=pads)
    add_macs(x.shape[0] * math.prod(out) * kernel.size)
    if not has_known_size(x) and kernel.shape[0] > 1:
        return library(x, kernel)
    by_patches = kernel.shape[0] == 1 or math.prod(out) <= SMALL_MAP
    if groups == 1 and by_patches:
        product = partial(patch_product, strides=strides, dilation=dilation, pads=pads)
        return lax.platform_dependent(x, kernel, cpu=product, default=library)
    if groups == kernel.shape[-1] == x.shape[-1]:
        product = partial(depthwise_sum, strides=strides, dilation=dilation, pads=pads)
        return lax.platform_dependent(x, kernel, cpu=product, default=library)
    if groups > 1:
        conv = partial(patch_product if by_patches else library_conv, strides=strides, dilation=dilation, pads=pads)
        return lax.platform_dependent(x, kernel, cpu=partial(sliced_conv, groups=groups, conv=conv), default=library)
    if strides == dilation == 1 and max(kernel.shape[2:]) <= NARROW and _band(x, kernel) > 1:
        return lax.platform_dependent(x, kernel, cpu=narrow_conv, default=library)
    return library(x, kernel)


def conv2d_per_example(
    x: Array, kernels: Array, *, strides: int = 1, dilation: int = 1, groups: int = 1, same: bool = False
) -> Array:
    """`conv2d` with a kernel for each example, [N, k, k, Ci/groups, Co], in one call.

    The examples become groups of one convolution. Where k is 1, on a CPU, whose grouped convolutions have no fast
    gradient, and where the examples are sharded over an explicit axis or of no known number, it is a batch of matrix
    products of patches, which take k * k times the memory of `x`.
    """
    n, k, _, channels, features = kernels.shape
    out = [-(-size // strides) for size in x.shape[1:3]]
    add_macs(math.prod(out) * kernels.size, other=True)
    pads = _pads(x, k, strides, dilation, same)
    if groups == features == x.shape[-1]:
        own = kernels.transpose(1, 2, 3, 0, 4)
        return depthwise_sum(x, own, strides=strides, dilation=dilation, pads=pads)

    def one_group(x: Array, kernels: Array) -> Array:
        columns = _patches(x, k, strides, dilation, pads)
        return jnp.einsum("nhwc,ncf->nhwf", columns, kernels.reshape(n, columns.shape[-1], kernels.shape[-1]))

    def product(x: Array, kernels: Array) -> Array:
        return sliced_conv(x, kernels, groups=groups, conv=one_group)

    def grouped(x: Array, kernels: Array) -> Array:
        joined = x.transpose(1, 2, 0, 3).reshape(1, *x.shape[1:3], n * x.shape[3])
        own = kernels.transpose(1, 2, 3, 0, 4).reshape(k, k, channels, n * features)
        y = library_conv(joined, own, strides=strides, dilation=dilation, groups=n * groups, pads=pads)
        return y.reshape(*y.shape[1:3], n, features).transpose(2, 0, 1, 3)

    if (k == groups == 1) or n == 0 or not isinstance(n, int) or is_sharded(x):
        return product(x, kernels)
    return lax.platform_dependent(x, kernels, cpu=product, default=grouped)


Pads = Sequence[tuple[int, int]]  # before and behind, of rows and of columns; symbolic where the sizes are


def subsample(x: Array, strides: int) -> Array:
    """[N, H, W, C] -> [N, ceil(H/s), ceil(W/s), C]: every s-th pixel.

    The ends of the slices make a symbolic size (`jax.export`) the very expression that a convolution's is.
    """
    height, width = ((size - 1) // strides * strides + 1 for size in x.shape[1:3])
    return x[:, :height:strides, :width:strides]


def has_known_size(x: Array) -> bool:
    """Whether the height and width of [N, H, W, C] are numbers, and not the symbols of `jax.export`."""
    return all(isinstance(size, int) for size in x.shape[1:3])


def _pads(x: Array, k: int, strides: int, dilation: int, same: bool) -> Pads:
    span = dilation * (k - 1)
    if not same or span == 0:
        return [_sides(k, dilation)] * 2
    totals = [(size - 1) // strides * strides + span + 1 - size for size in x.shape[1:3]]
    if span + 1 < strides:  # else no total is below 0, which symbols cannot be compared with
        totals = [max(0, total) for total in totals]
    return [(total // 2, total - total // 2) for total in totals]


def _sides(k: int, dilation: int) -> tuple[int, int]:
    """Padding before and behind that keeps the size: of an even kernel more pixels lie behind."""
    return dilation * ((k - 1) // 2), dilation * (k // 2)


def library_conv(
    x: Array, kernel: Array, *, strides: int, dilation: int, groups: int = 1, pads: Pads | None = None
) -> Array:
    """What XLA offers; `pads` keep the size if not given."""
    pads = pads or [_sides(k, dilation) for k in kernel.shape[:2]]
    is_symbolic = not all(isinstance(side, int) for sides in pads for side in sides)
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        "SAME" if is_symbolic else pads,  # the same numbers: other symbols than these are refused here
        rhs_dilation=(dilation, dilation),
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
    )


def patch_product(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads | None = None) -> Array:
    """The same as a matrix product, [N * H' * W', k * k * Ci] by [k * k * Ci, Co]."""
    k, _, channels, features = kernel.shape
    columns = _patches(x, k, strides, dilation, pads or [_sides(k, dilation)] * 2)
    matrix = kernel.reshape(k * k * channels, features)
    if not has_known_size(x):
        return columns @ matrix
    return (_rows(columns) @ matrix).reshape(*columns.shape[:3], features)


def _patches(x: Array, k: int, strides: int, dilation: int, pads: Pads) -> Array:
    """[N, H, W, Ci] -> [N, H', W', k * k * Ci]: what the kernel sees at each place."""
    if k == 1:
        return subsample(x, strides)
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    height, width = ((size - 1) // strides * strides + 1 for size in x.shape[1:3])
    taps = [
        padded[:, i : i + height : strides, j : j + width : strides]
        for i in range(0, k * dilation, dilation)
        for j in range(0, k * dilation, dilation)
    ]
    return jnp.concatenate(taps, axis=-1)


def depthwise_sum(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads) -> Array:
    """A convolution of every channel alone, as a sum of shifted maps: XLA's on a CPU has no fast gradient.

    `kernel` is [k, k, 1, C], or [k, k, 1, N, C] with one for each example.
    """
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    k, examples = kernel.shape[0], kernel.shape[3:-1] or (1,)
    height, width = ((size - 1) // strides * strides + 1 for size in x.shape[1:3])
    taps = [
        padded[:, i * dilation : i * dilation + height : strides, j * dilation : j * dilation + width : strides]
        * kernel[i, j, 0].reshape(*examples, 1, 1, x.shape[-1])
        for i in range(k)
        for j in range(k)
    ]
    return sum(taps[1:], start=taps[0])


@jax.custom_jvp
def narrow_conv(x: Array, kernel: Array) -> Array:
    """`library_conv` of stride 1, whose gradient by the kernel is that of `banded_product`."""
    return library_conv(x, kernel, strides=1, dilation=1)


@narrow_conv.defjvp
def _narrow_conv_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (x, kernel), (dx, dkernel) = primals, tangents
    by_x = library_conv(dx, kernel, strides=1, dilation=1)
    by_kernel = jax.checkpoint(banded_product)(x, dkernel)  # else the bands of x would be kept for the backward pass
    return narrow_conv(x, kernel), by_x + by_kernel


def banded_product(x: Array, kernel: Array) -> Array:
    """`library_conv` of stride 1 as matrix products: k rows of W' + k - 1 pixels by a band matrix give W' pixels.

    Most of the band matrix is 0, but its gradient is a product of large matrices, which a convolution's is not.
    """
    n, height, width, channels = x.shape
    k, features, columns = kernel.shape[0], kernel.shape[-1], _band(x, kernel)
    padded = jnp.pad(x, ((0, 0), _sides(k, 1), _sides(k, 1), (0, 0)))
    # One axis is split or merged at a time: on a mesh of explicit axes the batch may be sharded.
    own = padded[:, :, :width].reshape(n, height + k - 1, width // columns, columns, channels)
    own = own.reshape(n, height + k - 1, width // columns, columns * channels)
    last = padded[:, :, None, width:].reshape(n, height + k - 1, 1, (k - 1) * channels)
    beyond = jnp.concatenate([own[:, :, 1:, : (k - 1) * channels], last], axis=2)
    windows = jnp.concatenate(
        [own, beyond], axis=-1
    )  # [n, height + k - 1, width / columns, (columns + k - 1) * channels]
    shifted = [jnp.pad(kernel, ((0, 0), (j, columns - 1 - j), (0, 0), (0, 0))) for j in range(columns)]
    bands = jnp.stack(shifted, axis=3).reshape(k, windows.shape[-1], columns * features)
    rows = [_rows(windows[:, i : i + height]) @ bands[i] for i in range(k)]
    y = sum(rows[1:], start=rows[0]).reshape(n, height, width // columns, columns * features)
    return y.reshape(n, height, width // columns, columns, features).reshape(n, height, width, features)


def _rows(x: Array) -> Array:
    """[N, H, W, C] -> [N * H * W, C]: on a CPU a product's gradient by its kernel is slow where it has more axes."""
    return x.reshape(math.prod(x.shape[:3]), x.shape[3])


def _band(x: Array, kernel: Array) -> int:
    """Columns of a band: they divide the width, and a window reaches into the next one alone; 0 if none do."""
    return max((n for n in range(kernel.shape[0] - 1, BAND + 1) if x.shape[2] % n == 0), default=0)
