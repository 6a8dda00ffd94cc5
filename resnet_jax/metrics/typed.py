"""Typed metrics: a value knows how it adds up over batches and devices, and what it is in the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from resnet_jax.types import Array


@struct.dataclass
class Mean:
    """A weighted mean, as two sums that `results` divides."""

    total: Array  # float []: sum of weight * value
    count: Array  # float []: sum of weights

    @classmethod
    def of(cls, values: Array, weights: Array) -> Mean:
        """Mean of values [N] under weights [N]. Values of weight 0 add nothing, not even NaN."""
        weighted = jnp.where(weights != 0, values * weights.astype(values.dtype), 0)
        return cls(jnp.sum(weighted), jnp.sum(weights))


@struct.dataclass
class Sum:
    """A sum over batches and devices."""

    value: Array


@struct.dataclass
class Last:
    """The newest value, which is equal on all devices."""

    value: Array


Metric = Mean | Sum | Last
M = TypeVar("M", bound=Metric)


def reduce(metrics: Mapping[str, Metric], axis_name: str | None) -> dict[str, Metric]:
    """Adds means and sums over the mapped axis, in one collective; `axis_name` None: there is one shard."""
    if axis_name is None:
        return dict(metrics)
    sums = {name: metric for name, metric in metrics.items() if not isinstance(metric, Last)}
    return {**metrics, **lax.psum(sums, axis_name)}


def merge(one: Mapping[str, Metric], other: Mapping[str, Metric]) -> dict[str, Metric]:
    """Metrics of two batches as those of both; of `Last` values the second counts.

    JAX arrays are added as they are, so that it can be traced; NumPy's in float64, so that long sums stay exact.

    Raises:
      ValueError: a name with metrics of two types.
    """
    merged = dict(one)
    for name, metric in other.items():
        merged[name] = _add(name, merged[name], metric) if name in merged else metric
    return merged


def results(metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Numbers to report: means are divided here, in float64. A mean of no examples is NaN."""
    return {name: _result(metric) for name, metric in jax.device_get(dict(metrics)).items()}


def _add(name: str, one: M, other: M) -> M:
    if type(one) is not type(other):
        raise ValueError(f"metric {name!r}: expected {type(one).__name__}, got {type(other).__name__}")
    return other if isinstance(other, Last) else jax.tree.map(_sum, one, other)


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, jax.Array) or isinstance(other, jax.Array):
        return one + other
    return np.float64(one) + np.float64(other)


def _result(metric: Metric) -> float:
    if isinstance(metric, Mean):
        count = float(np.float64(metric.count))
        return float(np.float64(metric.total)) / count if count else float("nan")
    return float(np.float64(metric.value))
