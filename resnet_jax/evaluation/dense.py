"""Predictions for every image of a loader of boxes or label maps, and their metrics in the same pass."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax

from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.evaluate import in_flight
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.metrics.typed import Metric, merge, results
from resnet_jax.tasks import Predictions, Task
from resnet_jax.training.core import forward_step
from resnet_jax.training.state import TrainState
from resnet_jax.types import Pretrained

NOT_STORED = ("masks",)  # a megabyte an image; the evaluator has seen them


def predict_dense(
    net: Pretrained, task: Task, loader: DenseLoader, evaluator: Evaluator, *, batch_size: int, parallel: Parallel
) -> tuple[Predictions, dict[str, float]]:
    """The net's predictions without the masks of objects, and the means of what its modules sow into "metrics".

    `evaluator` is updated with all predictions. Rows have the sizes on the canvas and in the file, as `predict`'s, and
    "image_id" where COCO's JSON has it.

    Raises:
      ValueError: no image could be read.
    """
    state = parallel.replicate(TrainState.from_variables(net.variables, optax.identity(), jax.random.key(0)))
    step = parallel.map(forward_step(net.model, task.predictions, prepare=net.preprocess))
    rows: dict[str, list[np.ndarray]] = {}
    labels: list[np.ndarray] = []
    indices: list[int] = []
    sown: dict[str, Metric] = {}
    for forward in in_flight(step, state, parallel.prefetch(loader.eval_batches(batch_size))):
        batch: dict[str, Any] = {name: np.asarray(x) for name, x in forward.batch.items()}
        evaluator.update(forward.predictions, batch)
        sown = merge(sown, forward.metrics)
        used = batch["mask"] != 0
        sizes = {"size": batch["size"], "original_size": batch.get("original_size", batch["size"])}
        for name, x in (forward.predictions | sizes).items():
            if name not in NOT_STORED:
                rows.setdefault(name, []).append(np.asarray(x)[used])
        labels.append(batch["label"][used])
        indices += batch["example"][used].tolist()
    if not indices:
        raise ValueError(f"none of {loader.num_examples} images could be read")
    outputs = {name: np.concatenate(parts) for name, parts in rows.items()}
    ids = [loader.image_id(index) for index in indices]
    if None not in ids:
        outputs["image_id"] = np.array(ids)
    names = [loader.name(index) for index in indices]
    return Predictions(names, np.concatenate(labels), outputs, indices), results(sown)
