"""k-max pooling along a series."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from resnet_jax.types import Array


def k_max_pool(x: Array, k: int, *, mask: Array | None = None) -> Array:
    """[N, L, C] -> [N, k, C]: the k largest values of each channel, in the order of their positions.

    Kalchbrenner et al. 2014, "A Convolutional Neural Network for Modelling Sentences", section 3.2. Among equals the
    first count, and a NaN counts as largest. An example with fewer than k positions has zeros behind its last one.

    Args:
      mask: bool [N, L], true at the first positions of each example, which count. None: all.

    Raises:
      ValueError: `x` is no series, or k is below 1.
    """
    if x.ndim != 3:
        raise ValueError(f"expected [N, L, C], got {list(x.shape)}")
    if k < 1:
        raise ValueError(f"k: expected at least 1, got {k}")
    missing = max(0, k - x.shape[1])
    inside = jnp.ones(x.shape[:2], bool) if mask is None else mask
    inside = jnp.pad(inside, ((0, 0), (0, missing)))[..., None]
    padded = jnp.pad(x, ((0, 0), (0, missing), (0, 0)))
    finite = jnp.minimum(padded, jnp.finfo(x.dtype).max)  # below the scores of NaN
    scores = jnp.where(inside, jnp.where(jnp.isnan(padded), jnp.inf, finite), -jnp.inf)
    _, places = lax.top_k(lax.stop_gradient(jnp.moveaxis(scores, 1, -1)), k)  # the first of equals
    # Places outside `mask` are behind all others, so that sorting keeps them behind.
    places = jnp.moveaxis(jnp.sort(places, axis=-1), -1, 1)
    return jnp.take_along_axis(jnp.where(inside, padded, jnp.zeros((), x.dtype)), places, axis=1)
