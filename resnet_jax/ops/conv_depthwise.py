"""Depthwise convolutions for CPUs: sums of shifted maps with fast gradients, and products of bands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.ops.sharding import is_sharded
from resnet_jax.ops.windows import Pads, output_size, shifts, spatial_axes
from resnet_jax.types import Array, at_least_float32

# A depthwise 1-D kernel of at least this many elements takes products of bands of at most BAND_POSITIONS outputs: sums
# of more shifts have kernel gradients that are slow, and slow to compile.
LONG = 9
BAND_POSITIONS = 32
# XLA splits a sum over more values of an axis into two, the first of which it computes slowly.
MAX_RUN = 32


def depthwise_conv(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads) -> Array:
    """`depthwise_sum` of one kernel [*k, 1, C], with gradients that take a few passes over the map.

    The gradient that JAX derives has a padded map, or a sum over the whole map, for each element of the kernel.
    """
    if is_sharded(x) or x.size == 0:
        return depthwise_sum(x, kernel, strides=strides, dilation=dilation, pads=pads)
    return _depthwise(x, kernel, strides, dilation, tuple(map(tuple, pads)))


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _depthwise(x: Array, kernel: Array, strides: int, dilation: int, pads: Pads) -> Array:
    return depthwise_sum(x, kernel, strides=strides, dilation=dilation, pads=pads)


@_depthwise.defjvp
def _depthwise_jvp(
    strides: int, dilation: int, pads: Pads, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (x, kernel), (dx, dkernel) = primals, tangents
    options: dict[str, Any] = {"strides": strides, "dilation": dilation, "pads": pads}
    by_x = apart(lambda kernel, dx: placed_sum(dx, kernel, **options), kernel, dx)
    by_kernel = apart(partial(spread_sum, **options), x, dkernel)
    y = apart(lambda x, kernel: _depthwise(x, kernel, strides, dilation, pads), x, kernel)
    return y, by_x + by_kernel


def depthwise_sum(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads) -> Array:
    """A depthwise convolution as a sum of shifted maps: XLA's has no fast gradient.

    `kernel` is [*k, 1, C], or [*k, 1, N, C] with a kernel for each example.
    """
    rank = x.ndim - 2
    sides, examples = kernel.shape[:rank], kernel.shape[rank + 1 : -1] or (1,)
    shape = (*examples, *(1,) * rank, x.shape[-1])
    taps = [kernel[(*at, 0)].reshape(shape) for at in product(*map(range, sides))]
    return _weighted_sum(list(shifts(x, sides, strides, dilation, pads)), taps).astype(x.dtype)


def depthwise_bands(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads) -> Array:
    """A depthwise 1-D convolution, of strides or of dilation, as a matrix product for each channel.

    [N, L, C], [k, 1, C] -> [N, ceil(L / s), C]. A window of W inputs, by a [W, B] matrix whose column is the kernel at
    one output's inputs and otherwise 0, gives B outputs. A dilated kernel meets every dilation-th position alone: such
    positions are a series each. A non-finite value spreads over the outputs of its windows.
    """
    n, length, channels = x.shape
    outputs = -(-length // (strides * dilation))  # of a series
    bands = -(-outputs // BAND_POSITIONS)
    columns = -(-outputs // bands)
    step, width = strides * columns, strides * (columns - 1) + kernel.shape[0]
    steps = -(-width // step)  # that a window overlaps
    size, low = (bands + steps - 1) * step, pads[0][0]
    padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (low, size * dilation - low - length, 0), (0, 0, 0)))
    series = padded.reshape(n, size, dilation, channels).transpose(3, 0, 2, 1)  # [C, N, d, size]
    starts = range(0, steps * step, step)
    parts = [series[..., i : i + bands * step].reshape(*series.shape[:-1], bands, step) for i in starts]
    windows = jnp.concatenate(parts, axis=-1)[..., :width]
    matrix = band_matrix(kernel[:, 0].T, columns, strides)
    y = jnp.einsum("cndqw,cbw->cndqb", windows, matrix, preferred_element_type=at_least_float32(x.dtype))
    y = y.astype(x.dtype).reshape(*series.shape[:-1], bands * columns)
    return y.transpose(1, 3, 2, 0).reshape(n, bands * columns * dilation, channels)[:, : -(-length // strides)]


def band_matrix(kernel: Array, columns: int, strides: int) -> Array:
    """[C, k] -> [C, B, s * (B - 1) + k], B columns: the kernel, in each row s elements behind where it was."""
    channels, k = kernel.shape
    width = strides * (columns - 1) + k
    # Rows that are `strides` too long, read as rows of `width`, start later one by one.
    rows = jnp.broadcast_to(
        jnp.pad(kernel, ((0, 0), (0, width + strides - k)))[:, None], (channels, columns, width + strides)
    )
    return rows.reshape(channels, -1)[:, : columns * width].reshape(channels, columns, width)


def spread_sum(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads) -> Array:
    """`depthwise_sum` whose gradient by the kernel sums runs of the last spatial axis first, and then all these sums.

    The loops of XLA take up to 20 times as long for a sum over several axes, or over an axis longer than MAX_RUN. It
    would join the two sums if those of the runs were not stacked.
    """
    *sides, _, channels = kernel.shape
    inputs = list(shifts(x, sides, strides, dilation, pads))
    *outer, length, _ = inputs[0].shape
    starts = range(0, length, MAX_RUN)
    wide = kernel.astype(at_least_float32(kernel.dtype))  # its gradient is summed in this type, and rounded once
    taps = jnp.repeat(wide.reshape(-1, *(1,) * (x.ndim - 1), channels), len(starts), axis=0)
    taps = jnp.broadcast_to(taps, (len(taps), *outer, 1, channels))
    copies = [tap[0] for tap in lax.split(taps, (1,) * len(taps))]
    parts = [
        _weighted_sum([y[..., start : start + MAX_RUN, :] for y in inputs], copies[i :: len(starts)])
        for i, start in enumerate(starts)
    ]
    return jnp.concatenate(parts, axis=-2).astype(x.dtype)


def apart(f: Callable[[Array, Array], Array], x: Array, y: Array) -> Array:
    """f(x, y), linear in `y`, as a computation of its own: XLA fuses nothing from outside into it, nor it into others.

    Otherwise it computes the map that a gradient depends on again for each element of the kernel, and a convolution
    again in each sum of the norm behind it. A condition that is always true keeps them apart; a barrier does not, on a
    CPU.
    """
    bits = lax.bitcast_convert_type(_first(x).astype(jnp.float32), jnp.int32)
    result = jax.eval_shape(f, x, y)

    def never(x: Array, y: Array) -> Array:
        # Zeros that vary over the axes of `jax.shard_map` over which `x` or `y` does.
        return lax.full_like(_first(x) * _first(y), 0, result.dtype, result.shape)

    # What is not stored is computed again.
    return lax.cond((bits | 1) != 0, jax.checkpoint(f), never, x, y)


def _first(x: Array) -> Array:
    return x[(0,) * x.ndim]


def _weighted_sum(maps: list[Array], weights: list[Array]) -> Array:
    """The sum in float32 at least: one of low precision is rounded once, by the caller, as that of a convolution."""
    wide = at_least_float32(maps[0].dtype)
    terms = [y.astype(wide) * weight.astype(wide) for y, weight in zip(maps, weights, strict=True)]
    return sum(terms[1:], start=terms[0])


def placed_sum(x: Array, kernel: Array, *, strides: int, dilation: int, pads: Pads) -> Array:
    """`depthwise_sum` whose gradient by `x` is a sum of shifts of one padded map.

    Inputs are split by their remainders modulo `strides`: those of one remainder meet the same elements of the kernel.
    Each product is placed where its outputs are.
    """
    rank = x.ndim - 2
    sides, outputs = kernel.shape[:rank], output_size(x, strides)
    steps = [  # by axis, element of the kernel and remainder: how far the output lies behind the input; None: no output
        [[_quotient(r + low - i * dilation, strides) for r in range(strides)] for i in range(k)]
        for k, (low, _) in zip(sides, pads, strict=True)
    ]
    reach = [[0, *(step for by_element in by_axis for step in by_element if step is not None)] for by_axis in steps]
    margins = [(-min(by_axis), max(by_axis)) for by_axis in reach]
    wide, terms = at_least_float32(x.dtype), list[Array]()
    for remainders, part in split_remainders(x.astype(wide), strides):
        for at in product(*map(range, sides)):
            offsets = [by_axis[i][r] for by_axis, i, r in zip(steps, at, remainders, strict=True)]
            around = [(a + step, b - step) for step, (a, b) in zip(offsets, margins, strict=True) if step is not None]
            if len(around) == rank:
                weight = kernel[(*at, 0)].astype(wide).reshape((1,) * (rank + 1) + (-1,))
                terms.append(jnp.pad(part * weight, ((0, 0), *around, (0, 0))))
    window = [slice(a, a + size) for (a, _), size in zip(margins, outputs, strict=True)]
    return sum(terms[1:], start=terms[0])[(slice(None), *window)].astype(x.dtype)


def _quotient(a: int, b: int) -> int | None:
    """a / b, None where it is no integer."""
    return None if a % b else a // b


def split_remainders(x: Array, strides: int) -> Iterator[tuple[tuple[int, ...], Array]]:
    """The positions with each combination of remainders modulo `strides`, [N, *ceil(spatial / s), C]; 0 beyond `x`."""
    if strides == 1:
        yield (0,) * (x.ndim - 2), x
        return
    beyond = [(0, -size % strides) for size in x.shape[1:-1]]
    parts: dict[tuple[int, ...], Array] = {(): jnp.pad(x, ((0, 0), *beyond, (0, 0)))}
    for axis in spatial_axes(x):
        split: dict[tuple[int, ...], Array] = {}
        for remainders, part in parts.items():
            shape = (*part.shape[:axis], part.shape[axis] // strides, *part.shape[axis + 1 :])
            pairs = part.reshape(*shape[: axis + 1], strides, *shape[axis + 1 :])
            for r, y in enumerate(lax.split(pairs, (1,) * strides, axis + 1)):
                split[(*remainders, r)] = y.reshape(shape)
        parts = split
    yield from parts.items()
