"""Unequal lengths: what lies behind an example's length changes no number of it nor of the other examples.

Examples of a batch share one array [N, L, *other, C], and `lengths` int [N] counts the positions of each along L. A
mask bool [N, L] is true at these positions. A map with strides s of a map of length l has ceil(l / s) positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

import jax.numpy as jnp
import numpy as np

from resnet_jax import ops
from resnet_jax.ops.canvas import before
from resnet_jax.types import Array, at_least_float32


def check_lengths(lengths: Array, x: Array) -> None:
    """Raises TypeError or ValueError unless `lengths` is int [N] for `x` [N, ...]."""
    shape, dtype = jnp.shape(lengths), jnp.result_type(lengths)
    expected = f"lengths: expected int [{x.shape[0]}], one for each example"
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"{expected}, got {dtype} {list(shape)}")
    if shape != (x.shape[0],):
        raise ValueError(f"{expected}, got {list(shape)}")


def strided_lengths(lengths: Array, strides: int) -> Array:
    """ceil(lengths / strides): lengths of a map that takes `strides`."""
    return -(-lengths // strides)


def length_mask(lengths: Array, size: int) -> Array:
    """bool [N, size], true at the first `lengths` [N] positions; a length above `size` counts as `size`."""
    return before(jnp.asarray(lengths), size)


def over_positions(mask: Array, x: Array) -> Array:
    """[N, L] -> [N, L, 1, ..., 1], which broadcasts against `x` [N, L, ...]."""
    return mask.reshape(*mask.shape, *(1,) * (x.ndim - 2))


def zero_behind(x: Array, mask: Array) -> Array:
    """`x` [N, L, ...] with zeros where `mask` [N, L] is false, NaN and infinities included."""
    return jnp.where(over_positions(mask, x), x, jnp.zeros((), x.dtype))


def masked_mean(x: Array, mask: Array) -> Array:
    """[N, L, *other, C] -> [N, C], in at least float32: the mean over `mask` [N, L]; 0 for an example without any."""
    axes = ops.spatial_axes(x)
    wide = zero_behind(x.astype(at_least_float32(x.dtype)), mask)
    others = np.prod(x.shape[2:-1], dtype=int)
    return wide.sum(axes) / (jnp.maximum(mask.sum(1, keepdims=True), 1) * others).astype(wide.dtype)


def masked_max(x: Array, mask: Array) -> Array:
    """[N, L, *other, C] -> [N, C], in at least float32: the maximum over `mask`; 0 for an example without any."""
    wide = x.astype(at_least_float32(x.dtype))
    largest = ops.global_pool(jnp.where(over_positions(mask, x), wide, -jnp.inf), "max")
    return jnp.where(mask.any(1, keepdims=True), largest, 0)


def last_position(x: Array, mask: Array | None = None) -> Array:
    """[N, L, C] -> [N, C]: the last position of each example, that of `mask` [N, L]; 0 for an example without any."""
    if mask is None:
        return x[:, -1]
    last = jnp.maximum(mask.sum(1) - 1, 0)
    return jnp.take_along_axis(zero_behind(x, mask), last[:, None, None], axis=1)[:, 0]


def masked_max_pool(x: Array, mask: Array, *, window: int = 3, strides: int = 2, padding: int = 1) -> Array:
    """`ops.max_pool` of each example alone: nothing behind its length is a maximum."""
    y = ops.max_pool(jnp.where(over_positions(mask, x), x, -jnp.inf), window=window, strides=strides, padding=padding)
    return zero_behind(y, mask[:, ::strides])


def masked_avg_pool(
    x: Array,
    mask: Array,
    *,
    window: int,
    strides: int,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
    count_padding: bool = False,
) -> Array:
    """`ops.avg_pool` of each example alone: positions behind its length are outside its map.

    Its output has ceil(L / strides) positions.
    """
    options: dict[str, Any] = {"window": window, "strides": strides, "padding": padding, "dilation": dilation}
    sums = ops.avg_pool(zero_behind(x, mask), count_padding=True, **options)
    behind = mask[:, ::strides]
    if count_padding:
        return zero_behind(sums, behind)
    inside = jnp.broadcast_to(over_positions(mask, x), (*x.shape[:-1], 1)).astype(x.dtype)
    shares = ops.avg_pool(inside, count_padding=True, **options)
    return zero_behind(sums / jnp.where(shares > 0, shares, 1), behind)


@dataclass(frozen=True, eq=False)  # arrays have no hash
class LengthMasks:
    """Masks of the maps of a net whose total strides are powers of 2, by the length of the map.

    Two such strides with maps of the same length have the same mask: the length is 1.
    """

    mask: Array  # bool [N, L], of the input

    @classmethod
    def of(cls, lengths: Array, x: Array) -> LengthMasks:
        """The masks of a net's input [N, L, ...].

        Raises:
          TypeError, ValueError: `lengths` is not int [N].
        """
        check_lengths(lengths, x)
        return cls(length_mask(lengths, x.shape[1]))

    def at(self, x: Array) -> Array:
        """The mask bool [N, l] of a map [N, l, ...].

        Raises:
          ValueError: no power of 2 gives this length.
        """
        size = self.mask.shape[1]
        for strides in takewhile(lambda s: s < 2 * size, (2**power for power in count())):
            if -(-size // strides) == x.shape[1]:
                return self.mask[:, ::strides]
        raise ValueError(
            f"lengths: expected a map of ceil({size} / s) positions, where s is a power of 2, got {list(x.shape)}"
        )

    def zero_behind(self, x: Array) -> Array:
        """`x` with zeros behind each length."""
        return zero_behind(x, self.at(x))
