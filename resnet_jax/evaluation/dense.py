"""Metrics of dense tasks over every image of a loader; predictions are passed on batch by batch, and none is held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.evaluate import in_flight, prediction_step
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.metrics.typed import Metric, merge, results
from resnet_jax.tasks import Predictions, Rows, Task
from resnet_jax.types import Pretrained

AddImage = Callable[[str, Any, Rows], None]  # gets an image's name, its label on the canvas and its prediction


def predict_dense(
    net: Pretrained,
    task: Task,
    loader: DenseLoader,
    evaluator: Evaluator,
    *,
    batch_size: int,
    parallel: Parallel,
    add: AddImage | None = None,
) -> tuple[Predictions, dict[str, float]]:
    """The names and indices of all images, and the means of what the net's modules sow into "metrics".

    `evaluator` and `add` get all predictions. Those that `add` gets have the sizes on the canvas and in the file, as
    `predict`'s, and "image_id" where COCO's JSON has it. Memory does not grow with the pixels of the data set.

    Raises:
      ValueError: no image could be read.
    """
    step, state = prediction_step(net, task, parallel)
    indices: list[int] = []
    sown: dict[str, Metric] = {}
    for forward in in_flight(step, state, parallel.prefetch(loader.eval_batches(batch_size))):
        batch: dict[str, Any] = {name: np.asarray(x) for name, x in forward.batch.items()}
        evaluator.update(forward.predictions, batch)
        sown = merge(sown, forward.metrics)
        rows = np.flatnonzero(batch["mask"]).tolist()
        indices += batch["example"][rows].tolist()
        if add is not None:
            sizes = {"size": batch["size"], "original_size": batch.get("original_size", batch["size"])}
            arrays = {name: np.asarray(x) for name, x in (forward.predictions | sizes).items()}
            for i in rows:
                index = int(batch["example"][i])
                identity = {} if (number := loader.image_id(index)) is None else {"image_id": np.array(number)}
                add(loader.name(index), batch["label"][i], {name: x[i] for name, x in arrays.items()} | identity)
    if not indices:
        raise ValueError(f"none of {loader.num_examples} images could be read")
    names = [loader.name(index) for index in indices]
    return Predictions(names, np.zeros((len(indices), 0)), {}, indices), results(sown)
