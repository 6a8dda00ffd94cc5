"""Pictures of some examples: what a net predicts beside the truth, on the canvas of a dense loader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from resnet_jax.data.loading.dense import Decoded, DenseLoader, with_masks
from resnet_jax.data.sources.annotations import Annotations
from resnet_jax.images.rle import encode
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.tasks import Rows, Task
from resnet_jax.tasks.dense_predictions import beside_truth, sheet

SHOWN = 8
MIN_SCORE = 0.5  # of objects in the pictures


class Example(NamedTuple):
    """An example with its prediction."""

    number: int  # index in the loader's source
    prediction: Rows


class FirstExamples:
    """An evaluator that passes all batches on to another, and holds the first examples with their predictions."""

    def __init__(self, evaluator: Evaluator, count: int = SHOWN) -> None:
        self._evaluator, self._count = evaluator, count
        self.examples: list[Example] = []

    def update(self, outputs: Any, batch: Mapping[str, Any]) -> None:
        self._evaluator.update(outputs, batch)
        missing = self._count - len(self.examples)
        for i in np.flatnonzero(np.asarray(batch["mask"]) != 0)[: max(missing, 0)].tolist():
            rows = {name: np.asarray(x)[i] for name, x in outputs.items()}
            self.examples.append(Example(int(np.asarray(batch["example"])[i]), rows))

    def result(self) -> dict[str, float]:
        return self._evaluator.result()


def draw_examples(task: Task, loader: DenseLoader, examples: Sequence[Example]) -> np.ndarray | None:
    """One picture of examples, each beside its truth: uint8 [H, W, 3]; None without readable ones.

    True masks are drawn where the net predicts masks.
    """
    if any("masks" in prediction for _, prediction in examples):
        loader = with_masks(loader)
    pictures = []
    for number, prediction in examples:
        if (decoded := loader.decoded(number)) is not None:
            height, width = decoded.size
            rows = {**prediction, "size": np.array(decoded.size), "original_size": np.array(decoded.size)}
            picture = decoded.image[:height, :width]
            predicted = task.draw_prediction(picture, task.confident(rows, MIN_SCORE))
            pictures.append(beside_truth(predicted, task.draw_label(picture, _label(decoded))))
    return sheet(pictures) if pictures else None


def _label(decoded: Decoded) -> Annotations | np.ndarray:
    """The label in pixels of the canvas, without the padding: objects, or uint8 [h, w]."""
    height, width = decoded.size
    if decoded.boxes is None or decoded.crowd is None:
        return decoded.label[:height, :width]
    masks = None
    if decoded.masks is not None:
        unpacked = np.unpackbits(decoded.masks, axis=-1, count=decoded.image.shape[1])
        masks = [encode(mask[:height, :width]) for mask in unpacked]
    areas = np.prod(decoded.boxes[:, 2:] - decoded.boxes[:, :2], axis=1)
    return Annotations(decoded.boxes, decoded.label, masks, decoded.crowd, areas, decoded.size)
