"""Evaluation: every example of a source once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from resnet_jax.data import Loader
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import EvaluationStopped
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.metrics.typed import Metric, merge, results
from resnet_jax.training.core import Forward
from resnet_jax.types import Batch

AHEAD = 3  # batches under way at most


def evaluate(
    step: Callable[[Any, Any], Forward],
    state: Any,
    source: Loader,
    evaluator: Evaluator,
    *,
    batch_size: int,
    parallel: Parallel,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Metrics over all examples of `source` and their number, "images"; for any batch size and number of devices.

    They are the evaluator's and the means of what modules sow into "metrics". `step` is a mapped `forward_step`. The
    last batch is filled up with examples that count for nothing. Of several processes each reads its share.

    Raises:
      EvaluationStopped: `stop`, which is called before each batch, returned true.
    """
    batches = parallel.prefetch(source.eval_batches(batch_size, share=parallel.share))
    sown: dict[str, Metric] = {}
    images = 0
    for forward in in_flight(step, state, batches, stop):
        evaluator.update(forward.predictions, forward.batch)
        sown = merge(sown, forward.metrics)
        images += int((np.asarray(forward.batch["mask"]) != 0).sum())
    return {**evaluator.result(), **results(sown), "images": images}


def in_flight(
    step: Callable[[Any, Any], Forward], state: Any, batches: Iterable[Batch], stop: Callable[[], bool] = lambda: False
) -> Iterator[Forward]:
    """The step's results on the host, in order, while up to three batches are computed.

    Raises:
      EvaluationStopped: `stop` returned true.
    """
    under_way: deque[Forward] = deque()
    for batch in batches:
        if stop():
            raise EvaluationStopped
        under_way.append(step(state, batch))
        if len(under_way) == AHEAD:
            yield jax.device_get(under_way.popleft())
    while under_way:
        yield jax.device_get(under_way.popleft())
