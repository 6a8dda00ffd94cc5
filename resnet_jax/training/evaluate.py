"""Evaluation: every example of a source once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from resnet_jax.data import Source
from resnet_jax.training import metrics
from resnet_jax.training.parallel import Parallel


def evaluate(
    step: Callable[[Any, Any], Any], state: Any, source: Source, *, batch_size: int, parallel: Parallel
) -> dict[str, float]:
    """Means over all examples of `source`, and how many "images" they are; for any batch size and number of devices.

    `step` is a mapped `make_eval_step`. The last batch is filled up with examples that count for nothing.
    """
    sums = jax.device_get([step(state, batch) for batch in parallel.prefetch(source.eval_batches(batch_size))])
    return metrics.mean(sums) | {"images": round(sum(float(one["count"]) for one in sums))}
