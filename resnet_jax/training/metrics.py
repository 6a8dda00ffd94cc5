"""Metrics of training steps: what is weighted by a step's examples, and the numbers that are reported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from resnet_jax.metrics.typed import Mean, Metric, Sum, merge, results
from resnet_jax.types import Array


def example_count(metrics: Mapping[str, Metric]) -> Array:
    """Number of examples of mask 1 in a step's metrics."""
    count = metrics["count"]
    assert isinstance(count, Sum)
    return count.value


def over_examples(value: Array, count: Array) -> Mean:
    """A number of a step as a mean over the step's `count` examples, so that records weigh steps by them."""
    return Mean(value.astype(count.dtype) * count, count)


def reported(metrics: Mapping[str, Metric]) -> dict[str, float | None]:
    """Numbers for the record of one or more steps, without "count".

    A mean of no examples is None. If every step was skipped, all means are.
    """
    metrics = jax.device_get({name: metric for name, metric in metrics.items() if name != "count"})
    empty = {name for name, metric in metrics.items() if isinstance(metric, Mean) and not metric.count}
    return {name: None if name in empty else value for name, value in results(metrics).items()}


def mean(batches: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Means over the examples of one or more batches, from the sums of `make_train_step`, divided in float64.

    Raises:
      ValueError: there were no examples.
    """
    totals: dict[str, Metric] = {}
    for sums in jax.device_get([*batches]):
        totals = merge(totals, {name: Mean(value, sums["count"]) for name, value in sums.items()})
    means = results(totals)
    if math.isnan(means.pop("count", math.nan)):
        raise ValueError("expected at least one example to average over, got none")
    return means
