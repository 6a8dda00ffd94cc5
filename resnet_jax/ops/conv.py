"""Convolutions of any spatial rank: [N, L, C], [N, H, W, C], [N, D, H, W, C]."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax.numpy as jnp

from resnet_jax.ops.conv_cpu import cpu_conv, patches, sliced_conv
from resnet_jax.ops.conv_depthwise import depthwise_sum
from resnet_jax.ops.conv_library import library_conv
from resnet_jax.ops.lowering import lower, lowered_once, uses_plain_lowering
from resnet_jax.ops.sharding import is_sharded
from resnet_jax.ops.tally import add_macs
from resnet_jax.ops.windows import before, check_layout, output_size, padding
from resnet_jax.types import Array


def conv(
    x: Array,
    kernel: Array,
    *,
    strides: int = 1,
    dilation: int = 1,
    groups: int = 1,
    same: bool = False,
    causal: bool = False,
) -> Array:
    """[N, *spatial, Ci], [*k, Ci/groups, Co] -> [N, *ceil(spatial / strides), Co].

    The padding is dilation * floor((k - 1) / 2) before and dilation * floor(k / 2) after: for odd k symmetric, as in
    PyTorch. `same` pads as TensorFlow's SAME, which at even sizes and stride 2 pads more after than before. `causal`
    pads by dilation * (k - 1) before alone: no output depends on a later input.

    Raises:
      ValueError: `x` has no or too many spatial axes, or the kernel is of another rank.
    """
    check_layout(x)
    if kernel.ndim != x.ndim:
        raise ValueError(f"expected a kernel of {x.ndim} axes for {list(x.shape)}, got {list(kernel.shape)}")
    sides = kernel.shape[:-2]
    pads = padding(x, sides, strides=strides, dilation=dilation, same=same) if not causal else before(sides, dilation)
    add_macs(x.shape[0] * math.prod(output_size(x, strides)) * kernel.size)
    return _conv(x, kernel, strides=strides, dilation=dilation, groups=groups, pads=tuple(pads))


@lowered_once("strides", "dilation", "groups", "pads")
def _conv(x: Array, kernel: Array, **options: Any) -> Array:
    return lower(partial(library_conv, **options), cpu_conv(x, kernel, **options), x, kernel)


def conv_per_example(
    x: Array, kernels: Array, *, strides: int = 1, dilation: int = 1, groups: int = 1, same: bool = False
) -> Array:
    """`conv` with a kernel for each example, [N, *k, Ci/groups, Co], in one call.

    The examples become groups of one convolution. Matrix products of patches replace it where k is 1, on a CPU (whose
    grouped convolutions have no fast gradient), and where the batch is sharded over an explicit axis or has a symbolic
    size; they need prod(k) times the memory of `x`. Depthwise kernels take a sum of shifted maps.

    Raises:
      ValueError: as `conv`.
    """
    check_layout(x)
    if kernels.ndim != x.ndim + 1:
        raise ValueError(f"expected kernels of {x.ndim + 1} axes for {list(x.shape)}, got {list(kernels.shape)}")
    n, *sides, channels, features = kernels.shape
    add_macs(math.prod(output_size(x, strides)) * kernels.size)
    pads = padding(x, sides, strides=strides, dilation=dilation, same=same)

    def one_group(x: Array, kernels: Array) -> Array:
        columns = patches(x, sides, strides, dilation, pads)
        return jnp.einsum("n...c,ncf->n...f", columns, kernels.reshape(n, columns.shape[-1], kernels.shape[-1]))

    def product(x: Array, kernels: Array) -> Array:
        return sliced_conv(x, kernels, groups=groups, conv=one_group)

    def depthwise(x: Array, kernels: Array) -> Array:
        return depthwise_sum(x, jnp.moveaxis(kernels, 0, -2), strides=strides, dilation=dilation, pads=pads)

    def grouped(x: Array, kernels: Array) -> Array:
        joined = jnp.moveaxis(x, 0, -2).reshape(1, *x.shape[1:-1], n * x.shape[-1])
        kernel = jnp.moveaxis(kernels, 0, -2).reshape(*sides, channels, n * features)
        y = library_conv(joined, kernel, strides=strides, dilation=dilation, groups=n * groups, pads=pads)
        return jnp.moveaxis(y.reshape(*y.shape[1:-1], n, features), -2, 0)

    is_depthwise = groups == features == x.shape[-1]
    can_group = isinstance(n, int) and n > 0 and not is_sharded(x)
    if is_depthwise and not (can_group and uses_plain_lowering()):
        return depthwise(x, kernels)
    if not can_group or (groups == 1 and all(k == 1 for k in sides)):
        return product(x, kernels)
    return lower(grouped, product, x, kernels)


def conv_channels(x: Array, kernel: Array) -> Array:
    """[N, C], [k, 1, 1] with odd k -> [N, C]: a zero-padded convolution along the channels."""
    size = kernel.shape[0]
    add_macs(x.shape[0] * x.shape[1] * size, other=True)
    if uses_plain_lowering():
        return library_conv(x[:, :, None], kernel.astype(x.dtype), strides=1, dilation=1)[:, :, 0]
    padded = jnp.pad(x, ((0, 0), (size // 2, size // 2)))
    terms = [padded[:, i : i + x.shape[1]] * kernel[i, 0, 0].astype(x.dtype) for i in range(size)]
    return sum(terms[1:], start=terms[0])
