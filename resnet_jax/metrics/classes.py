"""Metrics of single-label classification: ranks for top-k accuracy, predicted classes, calibration error.

Each function takes NumPy arrays (computed in their own type, on the host) or JAX arrays (traceable).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from resnet_jax.types import Array

CALIBRATION_BINS = 15


def label_ranks(logits: Array, labels: Array) -> Array:
    """Rank of each label among the classes, 0 for the highest logit: [N, K], int [N] -> int [N].

    The label is among the top k if its rank is below k. Ties and NaN count against it, so that a broken net scores
    nothing, and a label outside 0 .. K - 1 has rank K - 1.
    """
    xp = _namespace(logits)
    classes = logits.shape[-1]
    labels = _at_least_int32(labels)
    valid = (labels >= 0) & (labels < classes)
    label_logits = xp.take_along_axis(logits, xp.clip(labels, 0, classes - 1)[:, None], axis=-1)
    label_logits = xp.where(valid[:, None], label_logits, xp.nan)
    return classes - 1 - xp.sum(logits < label_logits, axis=-1)


def reported_top_k(num_classes: int) -> tuple[int, ...]:
    """The k of the top-k accuracies that are reported: 1, and 5 with more than five classes."""
    return (1, 5) if num_classes > 5 else (1,)


def predicted_classes(logits: Array, labels: Array) -> Array:
    """Most likely class of each example: [N, K], int [N] -> int [N].

    As in `label_ranks`, a tie or NaN counts against the label: then another class is returned. So the share of examples
    whose predicted class is their label is the top-1 accuracy.
    """
    xp = _namespace(logits)
    classes = logits.shape[-1]
    labels = _at_least_int32(labels)
    is_label = xp.arange(classes, dtype=labels.dtype)[None] == labels[:, None]
    others = xp.where(is_label, -xp.inf, logits)
    best = others.argmax(-1).astype(labels.dtype)
    # The label is the first maximum if every other logit is -inf: then any other class is one.
    best = xp.where(best == labels, (labels + 1) % classes, best)
    return xp.where(label_ranks(logits, labels) < 1, labels, best)


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error over bins of equal width (Guo et al. 2017, eq. 3); NaN for NaN confidences.

    Args:
      confidence: float [n], probability of the predicted class.
      correct: bool [n], whether the prediction is right.
    """
    if not len(confidence) or np.isnan(confidence).any():
        return float("nan")
    gaps = calibration_gaps(confidence, correct, bins)
    return float(np.abs(gaps).sum() / len(correct))


def calibration_gaps(confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS) -> np.ndarray:
    """Sums of confidence - correct in each bin: [n], bool [n] -> float64 [bins]. They add up over batches."""
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # (0, 1/15], (1/15, 2/15], ...
    return np.bincount(index, confidence - correct, minlength=bins)


def _namespace(array: Any) -> Any:
    return np if isinstance(array, np.ndarray) else jnp


def _at_least_int32(labels: Array) -> Array:
    """Labels of a type that holds the number of classes, which uint8 may not."""
    return labels.astype(np.int32) if labels.dtype.itemsize < 4 else labels
