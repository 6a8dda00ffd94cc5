"""Losses and metrics that the modules of a net sow (`flax.linen.Module.sow`), under any name.

Collection "losses": numbers [N] or [], whose mean over the examples is added to the objective. Collection "metrics":
numbers [N], reported as means under their path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from resnet_jax.metrics.typed import Mean, Metric, merge
from resnet_jax.types import Array, at_least_float32

SOWN = ("losses", "metrics")


def sown_loss(collections: Mapping[str, Any], mask: Array) -> Array | None:
    """Sum over the examples of mask 1; None where no module has sown a loss."""
    values = [x for sown in flatten_dict(collections.get("losses", {})).values() for x in sown]
    totals = [_mean(x, mask).total for x in values]
    return sum(totals[1:], totals[0]) if totals else None


def sown_metrics(collections: Mapping[str, Any], mask: Array) -> dict[str, Metric]:
    """Means of what modules have sown, by path: "stage1_block0/name"."""
    metrics: dict[str, Metric] = {}
    for path, values in flatten_dict(collections.get("metrics", {})).items():
        for value in values:
            metrics = merge(metrics, {"/".join(path): _mean(value, mask)})
    return metrics


def _mean(values: Array, mask: Array) -> Mean:
    values = values.astype(at_least_float32(values.dtype))
    return Mean.of(jnp.broadcast_to(values, mask.shape), mask)
