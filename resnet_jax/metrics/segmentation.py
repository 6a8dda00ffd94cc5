"""Metrics of semantic segmentation from one confusion matrix of pixels over all images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

IGNORED = 255  # label of pixels that are not counted


class SegmentationMetrics:
    """Streaming mean intersection over union ("miou") and "pixel_accuracy" over the pixels of a data set.

    A class's intersection over union is TP / (TP + FP + FN) over all images; classes that are neither labelled nor
    predicted anywhere are skipped in the mean.
    """

    def __init__(self, num_classes: int) -> None:
        self.matrix = np.zeros((num_classes, num_classes), np.int64)  # pixels by true (rows) and predicted class

    def add(self, labels: np.ndarray, predicted: np.ndarray) -> None:
        """Counts pixels: int [...] each, the same shape; pixels with label 255 are ignored.

        Raises:
          ValueError: another shape, or a class that does not exist.
        """
        labels, predicted = np.asarray(labels), np.asarray(predicted)
        if labels.shape != predicted.shape:
            raise ValueError(f"expected predicted classes {list(labels.shape)}, got {list(predicted.shape)}")
        counted = labels != IGNORED
        labels, predicted = labels[counted].astype(np.int64), predicted[counted].astype(np.int64)
        classes = len(self.matrix)
        for name, values in (("labels", labels), ("predicted classes", predicted)):
            if len(values) and not 0 <= values.min() <= values.max() < classes:
                wrong = values.max() if values.min() >= 0 else values.min()
                raise ValueError(f"expected {name} from 0 to {classes - 1}, got {wrong}")
        self.matrix += np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)

    @property
    def pixels(self) -> np.ndarray:
        """Labelled pixels of each class: int64 [K]."""
        return self.matrix.sum(1)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class: float64 [K]; NaN for one neither labelled nor predicted."""
        union = self.matrix.sum(0) + self.matrix.sum(1) - self.matrix.diagonal()
        return np.where(union > 0, self.matrix.diagonal() / np.maximum(union, 1), np.nan)

    @property
    def accuracy(self) -> np.ndarray:
        """Share of each class's pixels that are predicted as it: float64 [K]; NaN for a class without pixels."""
        return np.where(self.pixels > 0, self.matrix.diagonal() / np.maximum(self.pixels, 1), np.nan)

    def result(self) -> dict[str, float]:
        """ "miou" and "pixel_accuracy"; NaN where no pixel is labelled."""
        total, iou = self.matrix.sum(), self.iou
        present = ~np.isnan(iou)
        return {
            "miou": float(iou[present].mean()) if present.any() else float("nan"),
            "pixel_accuracy": float(self.matrix.trace() / total) if total else float("nan"),
        }


class SegmentationEvaluator:
    """Metrics of label maps: "classes", int [N, H, W], of predictions; batches with "label" uint8 [N, H, W].

    Both are in pixels of the canvas that the images and their labels were resized to.
    """

    def __init__(self, num_classes: int) -> None:
        self.metrics = SegmentationMetrics(num_classes)

    def update(self, outputs: Any, batch: Mapping[str, Any]) -> None:
        rows = np.asarray(batch["mask"]) != 0
        self.metrics.add(np.asarray(batch["label"])[rows], np.asarray(outputs["classes"])[rows])

    def result(self) -> dict[str, float]:
        return self.metrics.result()
