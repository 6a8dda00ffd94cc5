"""Convolutions for CPUs, where XLA's are slow: products of patches or shifts, slices.

`cpu_conv` chooses; each lowering computes what `library_conv` does, up to rounding. conv_depthwise.py has those of
depthwise kernels. benchmarks/conv_lowering.py times them, and benchmarks/step.py times nets. Other platforms are
untimed and keep XLA's convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.ops.conv_depthwise import LONG, depthwise_bands, depthwise_conv
from resnet_jax.ops.conv_library import library_conv
from resnet_jax.ops.conv_series import series_conv
from resnet_jax.ops.sharding import is_split_in_space
from resnet_jax.ops.windows import Pads, centred, has_known_size, output_size, shifts, subsample
from resnet_jax.types import Array, at_least_float32

# XLA's convolution loses to a matrix product of patches where the kernel is 1x1, and by up to fifty times where the
# output has at most this many positions.
SMALL_MAP = 16
# XLA's kernel gradient of a 2-D convolution takes up to twice as long as a product for each element of the kernel where
# there are strides, and up to three times as long as one product where there are none and the kernel has at most
# MOST_COLUMNS columns. Both hold from PRODUCT_CHANNELS input channels on. With fewer, as in stems of images and of
# series, a product of shifted planes takes a sixth to one and a half times the time of XLA's of a map where the planes
# hold at most PLANES_PER_OUTPUT times as many values as the output. With larger kernels of few features it takes up to
# eight times as long, and more memory. Each element of the kernel is a copy to compile: MOST_SHIFTS limits them.
PRODUCT_CHANNELS = 16
MOST_COLUMNS = 3
PLANES_PER_OUTPUT = 4
MOST_SHIFTS = 160
# A slice of a grouped convolution has at least this many channels: XLA lowers convolutions of 16 and fewer to slow
# loops. Wider slices cost more multiplications by 0, and more slices cost more to compile.
SLICE_CHANNELS = 32
MAX_SLICES = 8
# A dilated kernel whose windows lie in the map with at most this part of their elements, on average, takes a product
# for each element: XLA's convolution multiplies the padding, too.
DILATED_INSIDE = 0.6


def cpu_conv(
    x: Array, kernel: Array, *, strides: int, dilation: int, groups: int, pads: Pads
) -> Callable[[Array, Array], Array] | None:
    """The lowering for a CPU, called with `x` and `kernel`; None where XLA's convolution is the fastest."""
    rank = x.ndim - 2
    sides = kernel.shape[:rank]
    is_pointwise = all(k == 1 for k in sides)
    if not has_known_size(x) and not is_pointwise:
        return None
    if is_split_in_space(x):  # XLA exchanges the edges; JAX refuses to slice, pad and reshape such axes
        return None
    options: dict[str, Any] = {"strides": strides, "dilation": dilation, "pads": pads}
    by_patches = is_pointwise or math.prod(output_size(x, strides)) <= SMALL_MAP
    if groups == 1 and by_patches:
        return partial(patch_product, **options)
    if groups == kernel.shape[-1] == x.shape[-1]:
        is_long = rank == 1 and sides[0] >= LONG and 1 in (strides, dilation)
        return partial(depthwise_bands if is_long else depthwise_conv, **options)
    if groups == strides == 1 and dilation > 1 and 0 < inside_part(x, sides, dilation, pads) <= DILATED_INSIDE:
        return partial(shifted_products, dilation=dilation, pads=pads)
    width = x.shape[-1] // slice_count(x.shape[-1], groups)
    dense = partial(patch_product if by_patches else series_conv if rank == 1 else library_conv, **options)
    if not by_patches and math.prod(sides) > math.prod(x.shape[1:-1]):
        dense = partial(conv_on_larger_map, strides=strides, conv=dense)
    elif not by_patches and rank < 3 and dilation == 1:
        is_narrow = width < PRODUCT_CHANNELS
        has_few_planes = math.prod(kernel.shape[:-1]) <= PLANES_PER_OUTPUT * kernel.shape[-1]
        by_planes = is_narrow and groups == 1 and has_few_planes and math.prod(sides) <= MOST_SHIFTS
        by_products = rank == 2 and not is_narrow and (strides > 1 or sides[1] <= MOST_COLUMNS)
        if by_planes or by_products:
            dense = partial(product_conv if rank == 2 else series_product_conv, strides=strides, pads=tuple(pads))
    if groups > 1:
        return partial(sliced_conv, groups=groups, conv=dense)
    return None if dense.func is library_conv else dense


def patch_product(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads | None = None) -> Array:
    """A matrix product, [N * positions, prod(k) * Ci] by [prod(k) * Ci, Co]."""
    *sides, channels, features = kernel.shape
    columns = patches(x, sides, strides, dilation, pads or [centred(k, dilation) for k in sides])
    matrix = kernel.reshape(math.prod(sides) * channels, features)
    if not has_known_size(x):
        return columns @ matrix
    return (as_matrix(columns) @ matrix).reshape(*columns.shape[:-1], features)


def patches(x: Array, sides: Sequence[int], strides: int, dilation: int, pads: Pads) -> Array:
    """[N, *spatial, Ci] -> [N, *spatial', prod(k) * Ci]: the inputs under the kernel at each position."""
    if all(k == 1 for k in sides):
        return subsample(x, strides)
    return jnp.concatenate(list(shifts(x, sides, strides, dilation, pads)), axis=-1)


def conv_on_larger_map(x: Array, kernel: Array, *, strides: int, conv: Callable[[Array, Array], Array]) -> Array:
    """`conv` of `x` with zeros after the last spatial axis, without the outputs that they add.

    XLA lowers a convolution to slow loops, by fifty times, where the kernel has more elements than the map positions.
    """
    *outer, size = x.shape[1:-1]
    extra = -(-math.prod(kernel.shape[:-2]) // math.prod(outer)) - size
    larger = jnp.pad(x, ((0, 0), *[(0, 0)] * len(outer), (0, extra), (0, 0)))
    return conv(larger, kernel)[..., : -(-size // strides), :]


def shifted_products(x: Array, kernel: Array, *, dilation: int, pads: Pads) -> Array:
    """A convolution of stride 1 as a matrix product for each element of the kernel, of the inputs that are in the map.

    An element that meets padding only costs nothing: of a 3x3 kernel whose dilation is the map's size one of nine
    products is computed.
    """
    *sides, _, features = kernel.shape
    sizes, terms = x.shape[1:-1], list[Array]()
    for at in product(*map(range, sides)):
        offsets = [i * dilation - low for i, (low, _) in zip(at, pads, strict=True)]
        lengths = [size - abs(offset) for size, offset in zip(sizes, offsets, strict=True)]
        if min(lengths) <= 0:
            continue
        inputs = [slice(max(0, i), max(0, i) + length) for i, length in zip(offsets, lengths, strict=True)]
        part = x[(slice(None), *inputs)]
        # A sum of low precision is rounded once, as that of a convolution.
        y = jnp.matmul(as_matrix(part), kernel[at], preferred_element_type=at_least_float32(x.dtype))
        around = [(max(0, -i), max(0, i)) for i in offsets]
        terms.append(jnp.pad(y.reshape(*part.shape[:-1], features), ((0, 0), *around, (0, 0))))
    return sum(terms[1:], start=terms[0]).astype(x.dtype)


def inside_part(x: Array, sides: Sequence[int], dilation: int, pads: Pads) -> float:
    """The part of the windows' elements that lie in the map rather than in its padding, at stride 1."""
    part = 1.0
    for size, k, (low, _) in zip(x.shape[1:-1], sides, pads, strict=True):
        part *= sum(max(0, size - abs(i * dilation - low)) for i in range(k)) / (k * size)
    return part


def sliced_conv(x: Array, kernel: Array, *, groups: int, conv: Callable[[Array, Array], Array]) -> Array:
    """A grouped convolution as a few calls of `conv`, a convolution of one group, each on a slice of the channels.

    [N, *spatial, Ci], [..., Ci/groups, Co] -> [N, *spatial', Co]. A slice has several groups, and its kernel is block
    diagonal. Most products are by 0, yet it is up to a hundred times as fast as XLA's: a dense convolution and its
    gradients are library calls. Non-finite values spread over the outputs of their slice.
    """
    slices = slice_count(x.shape[-1], groups)
    if slices == 1:
        return conv(x, block_diagonal(kernel, groups))
    inputs, kernels = jnp.split(x, slices, axis=-1), jnp.split(kernel, slices, axis=-1)
    outputs = [conv(y, block_diagonal(k, groups // slices)) for y, k in zip(inputs, kernels, strict=True)]
    return jnp.concatenate(outputs, axis=-1)


def slice_count(channels: int, groups: int) -> int:
    """Number of slices of whole groups: the most that SLICE_CHANNELS and MAX_SLICES allow."""
    most = min(MAX_SLICES, max(1, channels // SLICE_CHANNELS), groups)
    return max(count for count in range(1, most + 1) if groups % count == 0)


def block_diagonal(kernel: Array, groups: int) -> Array:
    """[..., Ci/groups, Co] -> [..., Ci, Co], 0 where an input and an output are of different groups."""
    if groups == 1:
        return kernel
    channels, features = kernel.shape[-2:]
    # Broadcast in the program: a constant of the kernel's size would be written out in it once a slice.
    cells = (groups, channels, groups, features // groups)
    same = jnp.broadcast_to(np.eye(groups, dtype=bool)[:, None, :, None], cells).reshape(groups * channels, features)
    return jnp.where(
        same.reshape((1,) * (kernel.ndim - 2) + same.shape),
        jnp.concatenate([kernel] * groups, axis=-2),
        0,
    )


def product_conv(x: Array, kernel: Array, *, strides: int, pads: Pads) -> Array:
    """`library_conv` of [N, H, W, Ci] whose kernel gradient is one matrix product.

    With strides and PRODUCT_CHANNELS channels or more it is one for each element of the kernel.
    """
    options: dict[str, Any] = {"strides": strides, "dilation": 1, "pads": pads}
    products = partial(element_products, **options) if strides > 1 else partial(joined_product, pads=pads)
    is_narrow = x.shape[-1] < PRODUCT_CHANNELS
    of_kernel = partial(plane_product, strides=strides, pads=pads) if is_narrow else products
    of_input = products if strides > 1 and not is_narrow else partial(library_conv, **options)

    @jax.custom_jvp
    def convolve(x: Array, kernel: Array) -> Array:
        return library_conv(x, kernel, **options)

    @convolve.defjvp
    def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
        (x, kernel), (dx, dkernel) = primals, tangents
        by_kernel = jax.checkpoint(of_kernel)(x, dkernel)  # else the backward pass keeps shifted copies of x
        return convolve(x, kernel), of_input(dx, kernel) + by_kernel

    return convolve(x, kernel)


def series_product_conv(x: Array, kernel: Array, *, strides: int, pads: Pads) -> Array:
    """`product_conv` of a series, [N, L, Ci], as a map of height 1."""
    return product_conv(x[:, None], kernel[None], strides=strides, pads=((0, 0), *pads))[:, 0]


def element_products(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads) -> Array:
    """A convolution as a sum of matrix products, of the inputs under each element of the kernel by that element."""
    *sides, _, features = kernel.shape
    inputs = list(shifts(x, sides, strides, dilation, pads))
    wide = at_least_float32(x.dtype)  # a sum of low precision is rounded once, as that of a convolution
    elements = product(*map(range, sides))
    terms = [
        jnp.matmul(as_matrix(part), kernel[at], preferred_element_type=wide)
        for at, part in zip(elements, inputs, strict=True)
    ]
    return sum(terms[1:], start=terms[0]).astype(x.dtype).reshape(*inputs[0].shape[:-1], features)


def joined_product(x: Array, kernel: Array, *, pads: Pads) -> Array:
    """A 2-D convolution of stride 1 as one product: the inputs of a kernel's row by all its rows, then added.

    The product is [N * H * W, columns * Ci] by [columns * Ci, rows * Co]. Maps are joined as a sum of padded ones: it
    takes a third of the time of a concatenation.
    """
    rows, columns, channels, features = kernel.shape
    wide = at_least_float32(x.dtype)  # a sum of low precision is rounded once, as that of a convolution
    whole, ((top, _), (before, _)) = (0, 0, 0), pads

    def padded(y: Array, *edges: tuple[int, int, int]) -> Array:
        return lax.pad(y, jnp.zeros((), y.dtype), (whole, *edges))

    edges = [((before - j, j - before, 0), (j * channels, (columns - 1 - j) * channels, 0)) for j in range(columns)]
    shifted = [padded(x, whole, *edge) for edge in edges]
    joined = sum(shifted[1:], start=shifted[0])
    matrix = kernel.transpose(1, 2, 0, 3).reshape(columns * channels, rows * features)
    y = jnp.matmul(as_matrix(joined), matrix, preferred_element_type=wide).reshape(*x.shape[:-1], rows * features)
    # Slices, whose transpose is a sum of padded maps; that of a split is a concatenation.
    parts = [lax.slice_in_dim(y, i * features, (i + 1) * features, axis=3) for i in range(rows)]
    terms = [padded(part, (top - i, i - top, 0), whole, whole) for i, part in enumerate(parts)]
    return sum(terms[1:], start=terms[0]).astype(x.dtype)


def plane_product(x: Array, kernel: Array, *, strides: int, pads: Pads) -> Array:
    """A 2-D convolution as one product, [rows * columns * Ci, N * positions] by [rows * columns * Ci, Co].

    The inputs under each element of the kernel are copied channel by channel: few channels would be short runs. One
    product for each row of the kernel needs half the memory and, at a 7x7 stem, three quarters more time.
    """
    rows, columns, channels, features = kernel.shape
    # The channels are mapped over, so that the batch stays an axis of its own, which may be sharded or symbolic.
    planes = jnp.moveaxis(x, -1, 0)[..., None]
    inputs = jax.vmap(lambda plane: list(shifts(plane, (rows, columns), strides, 1, pads)))(planes)
    wide = at_least_float32(x.dtype)  # a sum of low precision is rounded once, as that of a convolution
    positions = x.shape[0] * math.prod(output_size(x, strides))
    matrix = jnp.concatenate(inputs).reshape(rows * columns * channels, positions)
    y = jnp.matmul(matrix.T, kernel.reshape(-1, features), preferred_element_type=wide)
    return y.astype(x.dtype).reshape(x.shape[0], *output_size(x, strides), features)


def as_matrix(x: Array) -> Array:
    """[N, *spatial, C] -> [N * positions, C]: with more axes a product's gradient by its kernel is slow."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
