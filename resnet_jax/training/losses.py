"""Losses: (logits [N, K], labels) -> float [N], one number per example."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from resnet_jax.types import Array


def cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> Array:
    """-sum_k t_k log softmax(logits)_k: [N, K], int [N] or soft targets [N, K] -> [N].

    t is one-hot or soft; smoothing makes it (1 - s) * t + s / K (Szegedy et al. 2016, section 7).
    """
    classes = logits.shape[-1]
    targets = jax.nn.one_hot(labels, classes, dtype=logits.dtype) if labels.ndim == 1 else labels.astype(logits.dtype)
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / classes
    return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)
