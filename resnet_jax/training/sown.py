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
from resnet_jax.models import natural_key
from resnet_jax.types import Array, at_least_float32

SOWN = ("losses", "metrics", "gates")


def sown_loss(collections: Mapping[str, Any], mask: Array, gate_penalty: float = 0.0) -> Array | None:
    """Sum over the examples of mask 1; None where no module has sown a loss."""
    values = [x for sown in flatten_dict(collections.get("losses", {})).values() for x in sown]
    totals = [_mean(x, mask).total for x in values]
    if gate_penalty:
        totals.append(gate_penalty * _gate_rates(collections.get("gates", {}), mask)["executed"].total)
    return sum(totals[1:], totals[0]) if totals else None


def sown_metrics(collections: Mapping[str, Any], mask: Array) -> dict[str, Metric]:
    """The means of what modules have sown, by path: "stage1_block0/name"."""
    metrics: dict[str, Metric] = {}
    for path, values in flatten_dict(collections.get("metrics", {})).items():
        for value in values:
            metrics = merge(metrics, {"/".join(path): _mean(value, mask)})
    return metrics | _gate_rates(collections.get("gates", {}), mask)


def _mean(values: Array, mask: Array) -> Mean:
    values = values.astype(at_least_float32(values.dtype))
    return Mean.of(jnp.broadcast_to(values, mask.shape), mask)


def _gate_rates(gates: Mapping[str, Any], mask: Array) -> dict[str, Mean]:
    """A SkipNet's gates: "executed", the mean of all blocks, and each block's. {} for a net without gates."""
    if not gates:
        return {}
    sown = {"/".join(path[:-1]): values[0] for path, values in flatten_dict(gates).items()}
    blocks = {name: _mean(gate, mask) for name, gate in sown.items()}
    by_block = {f"executed/{name}": blocks[name] for name in sorted(blocks, key=natural_key)}
    count = next(iter(blocks.values())).count
    total = sum((one.total for one in blocks.values()), start=jnp.zeros_like(next(iter(blocks.values())).total))
    return {"executed": Mean(total / len(blocks), count), **by_block}
