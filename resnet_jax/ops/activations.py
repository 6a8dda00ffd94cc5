"""Activations that keep NaN in compiled code: [...] -> the same shape and dtype.

On a CPU, XLA may fuse a maximum with the reduction behind it, and that fusion returns the other operand where one is
NaN: `jax.nn.relu(x).mean((1, 2))` of a map with a NaN is finite under `jax.jit` (jaxlib 0.10.2 to 0.12). The
functions here compare and select instead; a comparison with NaN is false. They are plain module-level functions: they
can be pickled, and nets built in different processes compare equal. benchmarks/activations.py times them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.ops.lowering import uses_plain_lowering
from resnet_jax.types import Array


def relu(x: Array) -> Array:
    """max(x, 0); the derivative at 0 is 0, at NaN 1."""
    return jax.nn.relu(x) if uses_plain_lowering() else jnp.where(x <= 0, 0, x)


def relu6(x: Array) -> Array:
    """min(max(x, 0), 6); the derivative at 0 and at 6 is 0, as in PyTorch, at NaN 1."""
    if uses_plain_lowering():
        x = jnp.asarray(x)
        return lax.clamp(jnp.zeros((), x.dtype), x, jnp.full((), 6, x.dtype))
    return jnp.where(x <= 0, 0, jnp.where(x >= 6, 6, x))


def silu(x: Array) -> Array:
    """x * sigmoid(x) (Elfwing et al. 2017, "Sigmoid-Weighted Linear Units")."""
    return x * jax.nn.sigmoid(x)


def gelu(x: Array) -> Array:
    """x * P(X <= x) of a standard normal X, exactly (Hendrycks and Gimpel 2016, "Gaussian Error Linear Units")."""
    return jax.nn.gelu(x, approximate=False)


def quick_gelu(x: Array) -> Array:
    """x * sigmoid(1.702 x), an approximation of `gelu` (Hendrycks and Gimpel 2016, section 2)."""
    return x * jax.nn.sigmoid(1.702 * x)
