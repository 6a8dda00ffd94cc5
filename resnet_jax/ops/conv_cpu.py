"""Grouped convolutions on a CPU, where XLA's have no fast gradient: a few dense convolutions of slices of the channels.

A slice has several groups, and its kernel is block-diagonal: most of what is multiplied is 0, and still it is faster
by up to a hundred times, since a dense convolution and its gradients are library calls (benchmarks/grouped.py).
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from resnet_jax.types import Array

# A slice has at least so many channels: XLA leaves convolutions of 16 and fewer to slow loops. More of them cost more
# multiplications by 0, and more slices cost more to compile.
SLICE_CHANNELS = 32
MAX_SLICES = 8


def sliced_conv(x: Array, kernel: Array, *, groups: int, conv: Callable[[Array, Array], Array]) -> Array:
    """A convolution of `groups` groups by several calls of `conv`, a convolution of one group.

    [N, H, W, Ci], [..., Ci/groups, Co] -> what `conv` makes of them, with Co channels. Non-finite values spread over
    the outputs of their slice.
    """
    slices = slice_count(x.shape[-1], groups)
    if slices == 1:
        return conv(x, block_diagonal(kernel, groups))
    inputs, kernels = jnp.split(x, slices, axis=-1), jnp.split(kernel, slices, axis=-1)
    own = (conv(part, block_diagonal(k, groups // slices)) for part, k in zip(inputs, kernels, strict=True))
    return jnp.concatenate(list(own), axis=-1)


def slice_count(channels: int, groups: int) -> int:
    """Into how many slices of whole groups the channels are cut: the most that the two limits allow."""
    most = min(MAX_SLICES, max(1, channels // SLICE_CHANNELS), groups)
    return max(count for count in range(1, most + 1) if groups % count == 0)


def block_diagonal(kernel: Array, groups: int) -> Array:
    """[..., Ci/groups, Co] -> [..., Ci, Co], 0 where an input and an output are of different groups."""
    if groups == 1:
        return kernel
    channels, features = kernel.shape[-2:]
    # Broadcast in the program: constants of the kernel's size are written out in it, once a slice.
    cells = (groups, channels, groups, features // groups)
    same = jnp.broadcast_to(np.eye(groups, dtype=bool)[:, None, :, None], cells).reshape(groups * channels, features)
    return jnp.where(
        same.reshape((1,) * (kernel.ndim - 2) + same.shape),
        jnp.concatenate([kernel] * groups, axis=-2),
        0,
    )
