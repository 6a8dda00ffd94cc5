"""Evaluation: every example of a source once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from resnet_jax.data import Source
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import EvaluationStopped
from resnet_jax.metrics.confusion import Confusion
from resnet_jax.training import metrics

AHEAD = 3  # batches under way at most


def evaluate(
    step: Callable[[Any, Any], Any],
    state: Any,
    source: Source,
    *,
    batch_size: int,
    parallel: Parallel,
    stop: Callable[[], bool] = lambda: False,
    confusion: Confusion | None = None,
) -> dict[str, float]:
    """Means over all examples of `source`, and how many "images" they are; for any batch size and number of devices.

    `step` is a mapped `make_eval_step`. The last batch is filled up with examples that count for nothing. Of several
    processes each reads its share. With a `by_example` step, `confusion` counts each example.

    Raises:
      EvaluationStopped: `stop`, which is asked before each batch, was true.
    """
    sums: list[Any] = []
    for batch in parallel.prefetch(source.eval_batches(batch_size, share=parallel.share)):
        if stop():
            raise EvaluationStopped
        sums.append(step(state, batch))
        jax.block_until_ready(sums[-AHEAD:][0])
    sums = jax.device_get(sums)
    for one in sums:
        labels, predicted = one.pop("label", None), one.pop("predicted", None)
        if confusion is not None:
            confusion.add(labels, predicted)
    return metrics.mean(sums) | {"images": round(sum(float(one["count"]) for one in sums))}
