"""Predictions for series, sounds and texts: of a loader, and of a user's own items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.evaluate import in_flight, prediction_step
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.metrics.typed import Metric, merge, results
from resnet_jax.tasks import Predictions, Rows, Task
from resnet_jax.types import Pretrained


def predict_sequences(
    net: Pretrained,
    task: Task,
    loader: SequenceLoader,
    evaluator: Evaluator,
    *,
    batch_size: int,
    parallel: Parallel,
) -> tuple[Predictions, dict[str, float]]:
    """The net's predictions in the order of the source, and the means of what its modules sow into "metrics".

    `evaluator` gets them batch by batch, as a test of the run does. Unreadable examples are skipped. Predictions and
    labels of other lengths than the longest, such as those of transcripts, end with zeros.

    Raises:
      DataError: no example could be read.
    """
    step, state = prediction_step(net, task, parallel)
    rows: dict[int, tuple[Any, Rows]] = {}
    sown: dict[str, Metric] = {}
    for forward in in_flight(step, state, parallel.prefetch(loader.eval_batches(batch_size))):
        batch: dict[str, Any] = {name: np.asarray(x) for name, x in forward.batch.items()}
        evaluator.update(forward.predictions, batch)
        sown = merge(sown, forward.metrics)
        outputs = {name: np.asarray(x) for name, x in forward.predictions.items()}
        for i in np.flatnonzero(batch["mask"]).tolist():
            rows[int(batch["example"][i])] = batch["label"][i], {name: x[i] for name, x in outputs.items()}
    indices = sorted(rows)
    labels, each = zip(*(rows[index] for index in indices), strict=True)
    stacked = {name: stacked_rows([one[name] for one in each]) for name in each[0]}
    return Predictions([loader.name(i) for i in indices], stacked_rows(labels), stacked, indices), results(sown)


def stacked_rows(rows: Sequence[Any]) -> np.ndarray:
    """Arrays of one rank in one, with zeros behind the shorter ones: [n, ...]."""
    arrays = [np.asarray(row) for row in rows]
    shape = np.max([array.shape for array in arrays], axis=0).astype(int)
    result = np.zeros((len(arrays), *shape), arrays[0].dtype)
    for place, array in enumerate(arrays):
        inside: tuple[Any, ...] = (place, *map(slice, array.shape))
        result[inside] = array
    return result
