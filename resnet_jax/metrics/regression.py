"""Metrics of regression, streaming: mean absolute error, root mean squared error, coefficient of determination."""

from __future__ import annotations

from typing import Any

import numpy as np


class RegressionMetrics:
    """Streaming "mae", "rmse" and "r2" of predictions [N, T], in float64, for each of the T targets and their mean.

    r2 = 1 - sum (y - p)^2 / sum (y - mean y)^2; NaN where a target is constant.
    """

    def __init__(self) -> None:
        self._count = 0.0
        self._absolute: Any = 0.0  # sums of |error| [T]
        self._squared: Any = 0.0  # sums of squared errors [T]
        self._mean: Any = 0.0  # of the targets so far [T]
        self._deviations: Any = 0.0  # sums of squared deviations from it [T]

    def update(self, predictions: Any, targets: Any, mask: Any) -> None:
        """Adds predictions and targets float [N, T] (or [N] each) where mask [N] is not 0.

        Raises:
          ValueError: predictions and targets of different shapes.
        """
        rows = np.asarray(mask) != 0
        predictions, targets = np.asarray(predictions, np.float64), np.asarray(targets, np.float64)
        if predictions.shape != targets.shape:
            raise ValueError(f"expected predictions {list(targets.shape)}, got {list(predictions.shape)}")
        predictions, targets = (x.reshape(len(rows), -1)[rows] for x in (predictions, targets))
        if not len(targets):
            return
        errors = predictions - targets
        self._absolute = self._absolute + np.abs(errors).sum(0)
        self._squared = self._squared + (errors**2).sum(0)
        self._add_deviations(targets)

    def _add_deviations(self, targets: np.ndarray) -> None:
        """Chan et al. 1979: two sets' squared deviations, and that of their means; no cancellation of large sums."""
        n, mean = len(targets), targets.mean(0)
        delta, count = mean - self._mean, self._count + n
        self._deviations = self._deviations + ((targets - mean) ** 2).sum(0) + delta**2 * self._count * n / count
        self._mean = self._mean + delta * n / count
        self._count = count

    def by_target(self) -> dict[str, np.ndarray]:
        """Each metric of each target: float64 [T]. Raises ValueError if there were no examples."""
        if not self._count:
            raise ValueError("expected at least one example, got none")
        constant = self._deviations == 0
        return {
            "mae": self._absolute / self._count,
            "rmse": np.sqrt(self._squared / self._count),
            "r2": np.where(constant, np.nan, 1 - self._squared / np.where(constant, 1, self._deviations)),
        }

    def result(self) -> dict[str, float]:
        """Each metric's mean over the targets, whatever their units. Raises ValueError if there were no examples."""
        return {name: float(values.mean()) for name, values in self.by_target().items()}
