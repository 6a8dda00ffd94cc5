"""Losses of pairs of images and texts: every image is compared with every text of the global batch.

Each shard compares its rows with the columns of all shards. The sum over the shards is the loss of the global batch,
and the transpose of the gathering adds the gradients by a shard's features over all shards, so that the sum of the
shards' gradients is that of one device.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.types import Array


class Pairs(NamedTuple):
    """Features of n pairs, and which count."""

    image: Array  # float [n, D] of norm 1
    text: Array  # float [n, D] of norm 1
    mask: Array  # float [n]; pairs of 0 are compared with none


class Comparison(NamedTuple):
    """Results of comparing rows of pairs with all columns."""

    losses: Array  # float [n]: of each row
    correct: Array  # float [n]: share of the directions in which the row's own partner has the highest logit
    mask: Array  # float [n]: of the rows
    shares: int  # shards that have these same rows


def softmax_losses(pairs: Pairs, scale: Array, axis_name: str | None, *, local: bool = True) -> Comparison:
    """Symmetric InfoNCE (Radford et al. 2021, figure 3): mean of the cross-entropies of both directions.

    Args:
      scale: [], factor of the cosines.
      axis_name: of the shards of the global batch; None: these are all pairs.
      local: each shard computes the rows of its pairs, O(n N) of N pairs in all. False: all rows, O(N N); the loss and
        the gradient are the same.
    """
    rows, columns, places, shares = _rows_and_columns(pairs, axis_name, local=local)
    to_text, to_image = scale * rows.image @ columns.text.T, scale * rows.text @ columns.image.T
    partner = jnp.take_along_axis(to_text, places[:, None], axis=1)[:, 0]
    lowest = jnp.finfo(to_text.dtype).min / 2  # not -inf: a row without columns has no NaN in its gradient
    losses, correct = jnp.zeros_like(partner), jnp.zeros_like(partner)
    for logits in (to_text, to_image):
        masked = jnp.where(columns.mask[None] > 0, logits, lowest)
        losses += (jax.nn.logsumexp(masked, axis=1) - partner) / 2
        correct += (jnp.argmax(masked, axis=1) == places).astype(partner.dtype) / 2
    return Comparison(losses, correct, rows.mask, shares)


def sigmoid_losses(pairs: Pairs, scale: Array, bias: Array, axis_name: str | None, *, local: bool = True) -> Comparison:
    """The loss of SigLIP (Zhai et al. 2023, equation 1): -sum_j log sigmoid(z_ij (scale x_i y_j + bias)) of each row.

    z is 1 for the pair itself, else -1. Arguments are as in `softmax_losses`; `bias`: []. `correct` is of the images
    alone: the loss has no second direction.
    """
    rows, columns, places, shares = _rows_and_columns(pairs, axis_name, local=local)
    logits = scale * rows.image @ columns.text.T + bias
    is_pair = places[:, None] == jnp.arange(logits.shape[1])[None]
    losses = -jax.nn.log_sigmoid(jnp.where(is_pair, logits, -logits))
    is_column = columns.mask[None] > 0
    correct = jnp.argmax(jnp.where(is_column, logits, jnp.finfo(logits.dtype).min), axis=1) == places
    return Comparison(jnp.where(is_column, losses, 0).sum(1), correct.astype(logits.dtype), rows.mask, shares)


def _rows_and_columns(pairs: Pairs, axis_name: str | None, *, local: bool) -> tuple[Pairs, Pairs, Array, int]:
    """The rows of a shard, all columns, the column of each row's own pair, and the shards that have these rows."""
    count = len(pairs.mask)
    if axis_name is None:
        return pairs, pairs, jnp.arange(count), 1
    every = lax.all_gather(pairs, axis_name, tiled=True)
    if local:
        return pairs, every, lax.axis_index(axis_name) * count + jnp.arange(count), 1
    shards = lax.axis_size(axis_name)
    return every, every, jnp.arange(shards * count), shards
