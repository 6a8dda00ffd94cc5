"""A logging interval: the steps that one record sums up, and its form in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import jax
import numpy as np

from resnet_jax.metrics.typed import Last, Mean, Metric, Sum, merge

STEP_SUMS = ("count", "skipped")  # sums of the step itself, plain numbers in checkpoints

StepMetrics = dict[str, Metric]


@dataclass
class Interval:
    """Steps whose metrics make one record: those merged so far, and those that are still on the devices."""

    merged: StepMetrics = field(default_factory=dict)
    unread: list[tuple[int, StepMetrics, int | None]] = field(default_factory=list)  # a step, and where it is in them

    def __bool__(self) -> bool:
        return bool(self.merged or self.unread)

    def fetch(self) -> list[tuple[int, StepMetrics]]:
        """Unread steps with their metrics on the host; waits until they have ended."""
        fetched: list[StepMetrics] = jax.device_get([metrics for _, metrics, _ in self.unread])
        return [
            (step, metrics if i is None else jax.tree.map(lambda x, i=i: x[i], metrics))
            for (step, _, i), metrics in zip(self.unread, fetched, strict=True)
        ]

    def add(self, steps: Sequence[StepMetrics]) -> None:
        """Adds the metrics of all unread steps, which `fetch` has returned."""
        before, self.unread = self.merged, []
        if before and steps:  # after a change of config, drop metrics that only one part of the interval has
            names = {name for name, metric in before.items() if type(metric) is type(steps[0].get(name))}
            before, *steps = [{name: one[name] for name in one if name in names} for one in (before, *steps)]
        self.merged = reduce(merge, steps, before)


def saved_metrics(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Metrics as JSON holds them, by name.

    "count", "skipped" and the totals of means over the examples that "count" counts are plain numbers, as in every
    checkpoint of format 1; others are {"mean": [total, count]}, {"sum": x} or {"last": x}.
    """
    return {name: _saved(name, metric, metrics) for name, metric in metrics.items()}


def restored_metrics(record: Mapping[str, Any]) -> StepMetrics:
    """The metrics that `saved_metrics` has written.

    Raises:
      ValueError: another form.
    """
    return {name: _restored(name, value, record) for name, value in record.items()}


def _saved(name: str, metric: Metric, metrics: Mapping[str, Metric]) -> Any:
    if isinstance(metric, Mean):
        total, weights = float(metric.total), float(metric.count)
        count = metrics["count"]
        is_over_examples = isinstance(count, Sum) and weights == float(count.value)
        return total if is_over_examples else {"mean": [total, weights]}
    value = float(metric.value)
    if name in STEP_SUMS:
        return value
    return {"sum" if isinstance(metric, Sum) else "last": value}


def _restored(name: str, value: Any, record: Mapping[str, Any]) -> Metric:
    match value:
        case int() | float():
            return Sum(_number(value)) if name in STEP_SUMS else Mean(_number(value), _number(record["count"]))
        case {"mean": [total, count]}:
            return Mean(_number(total), _number(count))
        case {"sum": number}:
            return Sum(_number(number))
        case {"last": number}:
            return Last(_number(number))
    raise ValueError(f"expected a metric {name!r} as a checkpoint holds it, got {value!r}")


def _number(value: Any) -> Any:
    """A host number that `merge` adds in float64."""
    return np.float64(value)
