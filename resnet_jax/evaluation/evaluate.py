"""Metrics over all examples of a loader, and what the evaluations of every kind of data share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax

from resnet_jax.data import Loader
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import EvaluationStopped, check_type
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.metrics.typed import Metric, merge, results
from resnet_jax.tasks import Task
from resnet_jax.training.core import Forward, forward_step
from resnet_jax.training.state import TrainState
from resnet_jax.types import Batch, Pretrained

RESERVED = frozenset({"step", "split", "epoch", "images"})  # of the records of tests
MAX_IN_FLIGHT = 3  # batches on the devices


def evaluate(
    step: Callable[[Any, Any], Forward],
    state: Any,
    loader: Loader,
    evaluator: Evaluator,
    *,
    batch_size: int,
    parallel: Parallel,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Metrics over all examples of a loader, each counted once, and their number "images".

    The metrics are the evaluator's and the means of what modules sow into "metrics". They do not depend on batch size
    and number of devices: the last batch is padded with examples of mask 0. Each of several processes reads its share.

    Args:
      step: a mapped `forward_step`.
      stop: called before each batch.

    Raises:
      EvaluationStopped: `stop` returned true.
    """
    batches = parallel.prefetch(loader.eval_batches(batch_size, share=parallel.share))
    sown: dict[str, Metric] = {}
    images = 0
    for forward in in_flight(step, state, batches, stop):
        evaluator.update(forward.predictions, forward.batch)
        sown = merge(sown, forward.metrics)
        images += int((np.asarray(forward.batch["mask"]) != 0).sum())
    means = results(sown)
    return {**checked_results(evaluator.result(), means), **means, "images": images}


def checked_results(values: Any, sown: Mapping[str, Any]) -> dict[str, float]:
    """Checks the results of an evaluator, and returns them as Python numbers.

    Raises:
      TypeError: no dict of numbers.
      ValueError: a name of a record's own, or of what a module of the net sows.
    """
    for name in RESERVED & sown.keys():
        raise ValueError(f"expected another name for what a module of the net sows as {name!r}: it is reserved")
    check_type(values, Mapping, "an evaluator whose result is a dict of numbers")
    for name, value in values.items():
        check_type(value, (int, float, np.integer, np.floating), f"a number for the evaluator's result {name!r}")
        if name in RESERVED or name in sown or name.startswith("ema_"):  # which averaged weights' results have
            owner = "a module of the net sows it" if name in sown else "it is reserved"
            raise ValueError(f"expected another name for the evaluator's result {name!r}: {owner}")
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}


def prediction_step(net: Pretrained, task: Task, parallel: Parallel) -> tuple[Callable[[Any, Any], Forward], Any]:
    """The step that makes a task's predictions for a batch, and the state of a trained net, on the devices."""
    state = parallel.replicate(TrainState.from_variables(net.variables, optax.identity(), jax.random.key(0)))
    return parallel.map(forward_step(net.model, task.predict_batch, takes_batch=True, prepare=net.preprocess)), state


def in_flight(
    step: Callable[[Any, Any], Forward], state: Any, batches: Iterable[Batch], stop: Callable[[], bool] = lambda: False
) -> Iterator[Forward]:
    """The step's results on the host, in order, while the devices compute the next batches.

    Raises:
      EvaluationStopped: `stop` returned true.
    """
    pending: deque[Forward] = deque()
    for batch in batches:
        if stop():
            raise EvaluationStopped
        pending.append(step(state, batch))
        if len(pending) == MAX_IN_FLIGHT:
            yield jax.device_get(pending.popleft())
    while pending:
        yield jax.device_get(pending.popleft())
