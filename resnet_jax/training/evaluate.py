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
    """Means over all examples of `source`, for any number of examples, batch size and devices.

    `step` is a mapped `make_eval_step`. The last batch is filled up with examples that count for nothing.
    """
    sums = [step(state, batch) for batch in parallel.prefetch(source.eval_batches(batch_size))]
    return metrics.mean(jax.device_get(sums))
