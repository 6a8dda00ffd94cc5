"""Predictions for series, sounds, texts and pairs: of a loader, and of a user's own items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
import optax

from resnet_jax.data.loading.pairs import PairLoader
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.sources.subsets import labels_of
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.evaluate import in_flight, prediction_step
from resnet_jax.evaluation.predictions import Prediction, check_number
from resnet_jax.evaluation.sequence_inputs import SequenceInputs
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.metrics.typed import Metric, merge, results
from resnet_jax.tasks import Predictions, Rows, Task
from resnet_jax.training.core import forward_step
from resnet_jax.training.state import TrainState
from resnet_jax.types import NOUNS, Pretrained


def predict_sequences(
    net: Pretrained,
    task: Task,
    loader: SequenceLoader | PairLoader,
    evaluator: Evaluator,
    *,
    batch_size: int,
    parallel: Parallel,
) -> tuple[Predictions, dict[str, float]]:
    """The net's predictions in the order of the source, and the means of what its modules sow into "metrics".

    `evaluator` gets them batch by batch, as a test of the run does. Unreadable examples are skipped. Predictions and
    labels of other lengths than the longest, such as those of transcripts, end with zeros. Labels of pairs are texts.

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
    shown = labels_of(loader.examples)[indices] if isinstance(loader, PairLoader) else stacked_rows(labels)
    stacked = {name: stacked_rows([one[name] for one in each]) for name in each[0]}
    return Predictions([loader.name(i) for i in indices], shown, stacked, indices), results(sown)


def predict_inputs(
    net: Pretrained, task: Task, inputs: SequenceInputs, *, batch_size: int = 32, top: int = 5
) -> Iterator[Prediction]:
    """The net's prediction for each item, in their order; one program is compiled for each of a few lengths.

    Args:
      top: number of candidates (such as classes) for each item.

    Raises:
      ValueError: a number below 1 or above a million.
    """
    check_number("top", top)
    check_number("batch_size", batch_size)
    preprocess: Any = net.preprocess
    noun = NOUNS[preprocess.kind][0]
    loader = SequenceLoader(inputs, preprocess, skip_unreadable=True)
    rows: dict[int, Rows] = {}
    if any(loader.example(index) is not None for index in range(len(inputs))):
        step = jax.jit(
            forward_step(net.model, task.predict_batch, axis_name=None, prepare=preprocess, takes_batch=True)
        )
        state = TrainState.from_variables(jax.device_put(net.variables), optax.identity(), jax.random.key(0))
        for forward in in_flight(step, state, loader.eval_batches(min(batch_size, len(inputs)))):
            outputs = {name: np.asarray(x) for name, x in forward.predictions.items()}
            for i in np.flatnonzero(np.asarray(forward.batch["mask"])).tolist():
                rows[int(forward.batch["example"][i])] = {name: x[i] for name, x in outputs.items()}
    for index, name in enumerate(inputs.names):
        if (row := rows.get(index)) is None:
            yield Prediction(name, {}, "", loader.skipped[name], noun=noun)
        else:
            text, columns = task.format(row, top), task.columns(row, top)
            yield Prediction(name, task.describe(row, top), text, columns=columns, noun=noun)


def stacked_rows(rows: Sequence[Any]) -> np.ndarray:
    """Arrays of one rank in one, with zeros behind the shorter ones: [n, ...]."""
    arrays = [np.asarray(row) for row in rows]
    shape = np.max([array.shape for array in arrays], axis=0).astype(int)
    result = np.zeros((len(arrays), *shape), arrays[0].dtype)
    for place, array in enumerate(arrays):
        inside: tuple[Any, ...] = (place, *map(slice, array.shape))
        result[inside] = array
    return result
