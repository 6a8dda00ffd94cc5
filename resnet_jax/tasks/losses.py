"""Losses of classification: (logits [N, K], labels) -> float [N], one number per example."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import check_type, described, listed
from resnet_jax.ops import one_hot
from resnet_jax.types import ARRAYS, AS_ARRAY, Array

Loss = Callable[..., Array]  # (logits [N, K], labels int [N] or soft [N, K]) -> [N]


def cross_entropy(
    logits: Array, labels: Array, *, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
) -> Array:
    """-sum_k w_k t_k log softmax(logits)_k: [N, K], int [N] or soft targets float [N, K] -> [N].

    t is one-hot or soft; smoothing makes it (1 - s) * t + s / K (Szegedy et al. 2016, section 7). w are the K
    `class_weights`, or 1. PyTorch's weighted mean is the sum divided by that of `label_weights`. A label outside
    0 .. K - 1 has loss and gradient NaN. To ignore examples, give them mask 0 (see `make_train_step`).

    Raises:
      TypeError: logits or labels that are not arrays, logits that are not floating point, a smoothing of another type.
      ValueError: labels of another type or shape, class weights that are not K finite numbers of at least 0, a
        smoothing outside [0, 1], or fewer than two classes, whose loss is always 0.
    """
    check_labels(logits, labels)
    check_type(label_smoothing, (int, float, np.number, *ARRAYS), "label_smoothing (a number in [0, 1])")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"expected label_smoothing in [0, 1], got {label_smoothing}")
    classes = logits.shape[-1]
    targets = one_hot(labels, classes, logits.dtype) if labels.ndim == 1 else labels.astype(logits.dtype)
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / classes
    if class_weights is not None:
        check_class_weights(class_weights, classes)
        targets = targets * jnp.asarray(class_weights, targets.dtype)[None]
    return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)


def label_weights(labels: Array, class_weights: Sequence[float]) -> Array:
    """Weight of each example: int [N] or soft targets [N, K], K numbers -> float [N]. Soft: sum_k t_k w_k."""
    check_type(labels, ARRAYS, "labels (an array)", AS_ARRAY)
    if labels.ndim == 1:
        return jnp.asarray(class_weights, float)[labels]
    return labels @ jnp.asarray(class_weights, labels.dtype)


def check_class_weights(class_weights: Sequence[float], classes: int) -> None:
    """Raises ValueError unless there is one finite weight of at least 0 for each class, and not all are 0."""
    try:
        weights = np.asarray(class_weights, float)
    except (TypeError, ValueError):
        weights = np.zeros(())
    if weights.ndim != 1:
        raise TypeError(f"expected class_weights (a list of {classes} numbers), got {described(class_weights)}")
    if len(weights) != classes:
        raise ValueError(f"expected {classes} class weights, one per class, got {len(weights)}")
    with np.errstate(over="ignore"):  # weights too large for float32 become infinite, an error
        single = weights.astype(np.float32)
    if not (np.isfinite(single).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(f"expected finite class weights of at least 0, not all 0, got {listed(map(str, weights), 5)}")


def check_labels(logits: Array, labels: Array) -> None:
    """Raises ValueError unless `labels` are int [N] or soft targets float [N, K] for float logits [N, K] of K >= 2."""
    check_type(logits, ARRAYS, "logits float [N, K]", AS_ARRAY)
    if not jnp.issubdtype(logits.dtype, jnp.floating):  # soft targets cast to integers would all be 0
        raise TypeError(f"expected logits float [N, K], got {logits.dtype} {list(logits.shape)}")
    if logits.ndim != 2:
        raise ValueError(f"expected logits [N, K], got {list(logits.shape)}")
    n, classes = logits.shape
    check_type(labels, ARRAYS, f"labels int [{n}] or soft targets float [{n}, {classes}]", AS_ARRAY)
    if classes < 2:
        raise ValueError(f"expected logits of at least two classes, got {[n, classes]}; or pass a loss of your own")
    hard = labels.shape == (n,) and jnp.issubdtype(labels.dtype, jnp.integer)
    soft = labels.shape == (n, classes) and jnp.issubdtype(labels.dtype, jnp.floating)
    if not (hard or soft):
        raise ValueError(
            f"expected labels int [{n}] or soft targets float [{n}, {classes}], "
            f"got {labels.dtype} {list(labels.shape)}{_hint(labels, n, classes)}"
        )


def _hint(labels: Array, n: int, classes: int) -> str:
    if labels.shape == (n, 1):
        return "; labels[:, 0] has the shape [N]"
    if labels.shape == (n,):
        return "; labels.astype('int32') has the type"
    if labels.shape == (n, classes):
        return "; labels.astype('float32') has the type"
    return ""
