"""Metrics as sums over examples and their "count": they add up over batches, and the one division comes last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from resnet_jax.metrics.typed import Mean, Metric, Sum
from resnet_jax.types import Array, Metrics


def as_sums(metrics: Mapping[str, Metric]) -> Metrics:
    """Typed metrics as sums over the examples that metrics["count"] counts; a `Sum` stays as it is. Traced."""
    count = example_count(metrics)
    return {name: _as_sum(metric, count) for name, metric in metrics.items()}


def example_count(metrics: Mapping[str, Metric]) -> Array:
    """Number of examples of mask 1 in a step's metrics."""
    count = metrics["count"]
    assert isinstance(count, Sum)
    return count.value


def over_examples(value: Array, count: Array) -> Mean:
    """A number of a step as a mean over the step's `count` examples, so that records weigh steps by them."""
    return Mean(value.astype(count.dtype) * jnp.maximum(count, 1), count)


def _as_sum(metric: Metric, count: Array) -> Array:
    if isinstance(metric, Sum):
        return metric.value
    if not isinstance(metric, Mean):
        return metric.value * count
    if metric.count is count:
        return metric.total
    weight = metric.count.astype(metric.total.dtype)
    mean = jnp.where(weight > 0, metric.total / jnp.where(weight > 0, weight, 1), 0)
    return jnp.where(metric.count == count, metric.total, mean * count.astype(mean.dtype))


def total(batches: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The batches' sums added on the host, in order and in float64, so that more can be added later."""
    totals: dict[str, float] = {}
    for sums in batches:
        for name, value in sums.items():
            totals[name] = totals.get(name, 0.0) + float(np.float64(value))
    return totals


def mean(batches: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Means over the examples of one or more batches, from their sums.

    Raises:
      ValueError: there were no examples.
    """
    totals = total(batches)
    count = totals.pop("count", 0.0)
    if not count:
        raise ValueError("expected at least one example to average over, got none")
    return {name: value / count for name, value in totals.items()}
