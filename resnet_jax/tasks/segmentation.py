"""Semantic segmentation: a class for each pixel; cross entropy, mean intersection over union, pixel accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np
import optax

from resnet_jax.metrics.confusion import write_rows
from resnet_jax.metrics.segmentation import IGNORED, SegmentationEvaluator
from resnet_jax.metrics.typed import Mean, Metric
from resnet_jax.tasks.base import BaseTask
from resnet_jax.tasks.dense_predictions import class_regions, draw_classes, image_label_map, shares_text
from resnet_jax.tasks.protocol import (
    Details,
    LabelledSource,
    Predictions,
    Rows,
    TaskOptions,
    Term,
    Terms,
    refuse_options,
)
from resnet_jax.tasks.score_table import score_table
from resnet_jax.types import Array, Batch, LabelKind

AUXILIARY = 0.5  # weight of the auxiliary head's loss, as in torchvision's reference training


@dataclass(frozen=True)
class Segmentation(BaseTask):
    """A class for each pixel: labels uint8 [N, H, W], 255 where ignored.

    The loss is the mean cross entropy over the labelled pixels of the global batch, plus half of the auxiliary head's.
    """

    classes: tuple[str, ...] = ()

    name: ClassVar[str] = "segmentation"
    label_kind: ClassVar[LabelKind] = "pixels"
    measures: ClassVar[Mapping[str, int]] = {"miou": 1, "pixel_accuracy": 1}
    titles: ClassVar[Mapping[str, str]] = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy"}

    @property
    def num_outputs(self) -> int:
        return len(self.classes)

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Self:
        refuse_options(options, self.name)
        return replace(self, classes=tuple(source.classes))

    def objective(self, outputs: Any, batch: Batch, axis_name: str | None) -> tuple[Terms, dict[str, Metric]]:
        """ "segmentation", and "auxiliary" where the net has such a head; the metric "pixel_accuracy"."""
        labels = batch["label"].astype(jnp.int32)
        counted = (labels != IGNORED) & (batch["mask"] != 0)[:, None, None]
        weight = jnp.sum(counted, dtype=outputs.logits.dtype)
        losses = {"segmentation": _cross_entropy(outputs.logits, labels, counted)}
        if outputs.auxiliary is not None:
            losses["auxiliary"] = AUXILIARY * _cross_entropy(outputs.auxiliary, labels, counted)
        hits = (jnp.argmax(outputs.logits, -1) == labels).astype(outputs.logits.dtype)
        accuracy = Mean.of(hits, counted.astype(hits.dtype))
        return {name: Term(total, weight) for name, total in losses.items()}, {"pixel_accuracy": accuracy}

    def predictions(self, outputs: Any) -> dict[str, Array]:
        """ "classes": uint8 [N, H, W], the likeliest class of each pixel of the canvas."""
        return {"classes": jnp.argmax(outputs.logits, -1).astype(jnp.uint8)}

    def average(self, predictions: Sequence[Rows]) -> Rows:
        """Raises ValueError for several: classes of several views or nets have no mean."""
        if len(predictions) > 1:
            raise ValueError("classes of pixels have no mean over views or nets; evaluate one net with one view")
        return predictions[0]

    def evaluator(self) -> SegmentationEvaluator:
        return SegmentationEvaluator(len(self.classes))

    def describe(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """ "classes" in the image, the largest first: "class", "index", "share" of the pixels, and "segmentation"."""
        return {"classes": class_regions(image_label_map(prediction), self.classes)}

    def format(self, prediction: Mapping[str, np.ndarray], top: int) -> str:
        return shares_text(image_label_map(prediction), self.classes)

    def columns(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """The share of each class."""
        labels = image_label_map(prediction)
        counts = np.bincount(labels.ravel(), minlength=len(self.classes))
        return {name: float(count / labels.size) for name, count in zip(self.classes, counts, strict=True)}

    def label_name(self, label: Any) -> Any:
        present = np.unique(label)
        return [self.classes[k] for k in present[present != IGNORED].tolist()]

    def cells(self, label: Any, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        return {"label": ", ".join(self.label_name(label)), **self.columns(prediction, top)}

    def draw_prediction(self, picture: np.ndarray, prediction: Rows) -> np.ndarray:
        return draw_classes(picture, image_label_map(prediction), self.classes)

    def draw_label(self, picture: np.ndarray, label: Any) -> np.ndarray:
        return draw_classes(picture, np.asarray(label), self.classes)

    def details(self, evaluator: Any) -> dict[str, Any]:
        return {"classes": self._rows(evaluator)}

    def table(self, evaluator: Any, width: int, file: str, noun: str = "images") -> list[str]:
        """A line for each class with its pixels, intersection over union and accuracy, lowest first."""
        titles = {"pixels": "pixels", "iou": "IoU", "accuracy": "accuracy"}
        return score_table(self._rows(evaluator), titles, width=width, all_in=f": {file}" if file else "")

    def write_details(
        self, evaluator: Any, folder: Path, metadata: Mapping[str, Any], predictions: Predictions | None = None
    ) -> Details:
        """Writes classes.json: the numbers of each class, and the confusion matrix of pixels."""
        rows = self._rows(evaluator)
        record = {**metadata, "metrics": evaluator.result(), "classes": rows}
        file = write_rows(folder, {**record, "confusion": evaluator.metrics.matrix.tolist()})
        scored = sorted((row for row in rows if row["iou"] is not None), key=lambda row: row["iou"])
        lowest = ", ".join(f"{row['class']!r} {row['iou']:.4f}" for row in scored[:3])
        return Details(file, f"test by class: lowest IoU {lowest or '-'}")

    def _rows(self, evaluator: SegmentationEvaluator) -> list[dict[str, Any]]:
        """Numbers of each class: "class", "pixels", "iou", "accuracy"; None where undefined."""
        metrics = evaluator.metrics
        columns = {"pixels": metrics.pixels, "iou": metrics.iou, "accuracy": metrics.accuracy}
        return [
            {"class": name} | {title: None if np.isnan(x[k]) else x[k].item() for title, x in columns.items()}
            for k, name in enumerate(self.classes)
        ]


def _cross_entropy(logits: Array, labels: Array, counted: Array) -> Array:
    """Sum of the cross entropy of [N, H, W, K] over the pixels that are counted, bool [N, H, W]."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(counted, labels, 0))
    return jnp.sum(jnp.where(counted, losses, 0))
