"""Metrics of multi-label classification: average precision, F1, and the threshold per class that maximises F1.

Scores are float [n, K] (any increasing function of probability), targets 0 or 1 in [n, K].
"""

from __future__ import annotations

from typing import Any

import numpy as np


def average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Area under each class's precision-recall curve: [n, K], [n, K] -> float64 [K]; NaN for a class without positives.

    sum_i (R_i - R_{i-1}) P_i over the distinct scores, from the highest: no interpolation, ties together (as
    scikit-learn's average_precision_score). NaN scores give NaN.
    """
    return np.array([_average_precision(s, t) for s, t in zip(scores.T, targets.T, strict=True)], np.float64)


def best_thresholds(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The threshold of each class with the highest F1: [n, K], [n, K] -> float64 [K].

    A score of at least the threshold predicts the class. The threshold lies halfway to the next lower score; of equal
    F1 the highest threshold is chosen. A class without positives has infinity: it is never predicted.
    """
    return np.array([_best_threshold(s, t) for s, t in zip(scores.T, targets.T, strict=True)], np.float64)


def confusion_counts(
    scores: np.ndarray, targets: np.ndarray, thresholds: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(true positives, false positives, false negatives) of each class, int [K] each."""
    predicted, actual = scores >= thresholds, targets > 0.5
    return (predicted & actual).sum(0), (predicted & ~actual).sum(0), (~predicted & actual).sum(0)


def f1_scores(scores: np.ndarray, targets: np.ndarray, thresholds: np.ndarray | float) -> np.ndarray:
    """F1 of each class, 2 TP / (2 TP + FP + FN): float64 [K]; NaN without positives and predictions."""
    return _f1(*confusion_counts(scores, targets, thresholds))


class MultiLabelMetrics:
    """Streaming "map", "f1_macro" and "f1_micro"; keeps all scores, 5 bytes per example and class.

    Means over classes ("map", "f1_macro") are over those with positives.
    """

    def __init__(self, thresholds: np.ndarray | float = 0.0) -> None:
        """`thresholds`: float [K] or one for all; 0 is a probability of one half for logits."""
        self.thresholds = thresholds
        self._scores: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []

    def update(self, scores: Any, targets: Any, mask: Any) -> None:
        """Adds scores float [N, K] and targets [N, K] where mask [N] is not 0."""
        rows = np.asarray(mask) != 0
        self._scores.append(np.asarray(scores, np.float32)[rows])
        self._targets.append(np.asarray(targets)[rows] > 0.5)

    @property
    def scores(self) -> np.ndarray:
        """float32 [n, K]."""
        return np.concatenate(self._scores)

    @property
    def targets(self) -> np.ndarray:
        """bool [n, K]."""
        return np.concatenate(self._targets)

    def result(self) -> dict[str, float]:
        """Raises ValueError if there were no examples."""
        if not sum(map(len, self._scores)):
            raise ValueError("expected at least one example, got none")
        scores, targets = self.scores, self.targets
        present = targets.any(0)
        counts = confusion_counts(scores, targets, self.thresholds)
        return {
            "map": _mean(average_precision(scores, targets)[present]),
            "f1_macro": _mean(_f1(*counts)[present]),
            "f1_micro": float(_f1(*(count.sum(keepdims=True) for count in counts))[0]),
        }


def _average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    if np.isnan(scores).any() or not (targets > 0.5).any():
        return float("nan")
    hits, predictions, _ = _curve(scores, targets)
    recall = hits / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / predictions))


def _best_threshold(scores: np.ndarray, targets: np.ndarray) -> float:
    positives = int((targets > 0.5).sum())
    if not positives or np.isnan(scores).any():
        return float("inf")
    hits, predictions, values = _curve(scores, targets)
    best = int(np.argmax(2 * hits / (predictions + positives)))
    return float((values[best] + values[best + 1]) / 2) if best + 1 < len(values) else float(values[best])


def _curve(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(true positives, predictions, score) at each distinct score, from the highest: int, int and float64 [m]."""
    order = np.argsort(-scores, kind="stable")
    values, hits = scores[order].astype(np.float64), np.cumsum(targets[order] > 0.5)
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # of each run of equal scores
    return hits[last], last + 1, values[last]


def _f1(hits: np.ndarray, false_positives: np.ndarray, false_negatives: np.ndarray) -> np.ndarray:
    whole = 2 * hits + false_positives + false_negatives
    return np.where(whole > 0, 2 * hits / np.maximum(whole, 1), np.nan)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
