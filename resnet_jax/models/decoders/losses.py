"""Losses of detectors, one value per element: binary cross-entropy, focal loss, smooth L1."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from resnet_jax.types import Array


def sigmoid_cross_entropy(logits: Array, targets: Array) -> Array:
    """Binary cross-entropy of sigmoid(logits), of the shape of both arguments."""
    return jnp.maximum(logits, 0) - logits * targets + jnp.log1p(jnp.exp(-jnp.abs(logits)))


def focal_loss(logits: Array, targets: Array, *, alpha: float = 0.25, gamma: float = 2.0) -> Array:
    """Focal loss of sigmoid(logits) for targets 0 or 1 (Lin et al. 2017, "Focal Loss for Dense Object Detection")."""
    p = jax.nn.sigmoid(logits)
    p_true = p * targets + (1 - p) * (1 - targets)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * sigmoid_cross_entropy(logits, targets) * (1 - p_true) ** gamma


def smooth_l1(predictions: Array, targets: Array, *, beta: float = 1.0) -> Array:
    """|x| - beta / 2, and x^2 / (2 beta) where |x| < beta (Girshick 2015, eq. 3); beta 0: |x|."""
    error = jnp.abs(predictions - targets)
    if beta == 0:
        return error
    return jnp.where(error < beta, 0.5 * error**2 / beta, error - 0.5 * beta)
