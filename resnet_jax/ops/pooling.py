"""Pooling over windows and over whole maps."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.types import Array, at_least_float32


def max_pool(x: Array, *, window: int = 3, strides: int = 2, padding: int = 1) -> Array:
    """[N, H, W, C] -> [N, H', W', C], padded symmetrically with -inf (PyTorch's, not SAME)."""
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    lowest = np.asarray(-np.inf, x.dtype)
    return lax.reduce_window(x, lowest, lax.max, (1, window, window, 1), (1, strides, strides, 1), pads)


def _average(x: Array) -> Array:
    return jnp.mean(x, (1, 2))


def _maximum(x: Array) -> Array:
    return jnp.max(x, (1, 2))


POOLS = {"avg": _average, "max": _maximum}


def global_pool(x: Array, kind: str = "avg") -> Array:
    """[N, H, W, C] -> [N, C], in at least float32. `kind` is "avg" or "max"."""
    return POOLS[kind](x.astype(at_least_float32(x.dtype)))
