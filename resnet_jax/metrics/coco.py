"""COCO's evaluation of detections: boxes, and masks where a net has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from resnet_jax.images.pasting import paste_mask
from resnet_jax.images.rle import RLE, iou
from resnet_jax.metrics.average_precision import NUMBERS, AveragePrecision, box_areas, box_overlaps

MASK_PREFIX = "mask_"
RESULTS = (*NUMBERS, *(MASK_PREFIX + name for name in NUMBERS))


class TrueObjects(Protocol):
    """The objects of an image, in pixels of its file; `data.sources.annotations.Annotations` has them."""

    @property
    def boxes(self) -> np.ndarray: ...  # float [b, 4]

    @property
    def labels(self) -> np.ndarray: ...  # int [b], from 0

    @property
    def masks(self) -> Sequence[RLE] | None: ...

    @property
    def crowd(self) -> np.ndarray: ...  # bool [b]

    @property
    def area(self) -> np.ndarray: ...  # float [b]


class CocoEvaluator:
    """COCO's twelve numbers for boxes ("ap", ..., "ar_large"), and for masks ("mask_ap", ...) where a net has them.

    An undefined number, where no object has such an area, is NaN, where pycocotools has -1: records hold it
    as null. Detections are measured in pixels of the image files, against the objects that were annotated there; every
    image counts once, however often it is in the batches.
    """

    def __init__(self, annotations: Callable[[int], TrueObjects], num_classes: int) -> None:
        """`annotations`: an example's index in the data -> its objects. `num_classes` counts no background."""
        self._annotations, self._num_classes = annotations, num_classes
        self.boxes = AveragePrecision(num_classes)
        self.masks: AveragePrecision | None = None  # from the first batch with masks

    def update(self, outputs: Any, batch: Mapping[str, Any]) -> None:
        """Adds the images of a batch.

        Args:
          outputs: "boxes" [N, D, 4] in pixels of the canvas, "scores" [N, D], "labels" int [N, D] from 0, "valid" bool
            [N, D], and with masks "masks" [N, D, M, M], probabilities in the frames of the boxes.
          batch: "mask" [N], "example" int [N], "size" and "original_size" int [N, 2]: height and width on the canvas
            and in the image file.

        Raises:
          ValueError: a valid detection with a score of NaN, or with a label that is no class.
        """
        rows = np.flatnonzero(np.asarray(batch["mask"]) != 0).tolist()
        outputs = {name: np.asarray(x) for name, x in outputs.items() if x is not None}
        examples = np.asarray(batch["example"]).tolist()
        sizes, originals = np.asarray(batch["size"]), np.asarray(batch["original_size"])
        for i in rows:
            if examples[i] not in self.boxes:
                valid = outputs["valid"][i].astype(bool)
                detections = {name: x[i][valid] for name, x in outputs.items() if name != "valid"}
                detections["boxes"] = original_boxes(detections["boxes"], sizes[i], originals[i])
                self._add(examples[i], detections, tuple(originals[i].tolist()))

    def _add(self, example: int, detections: Mapping[str, np.ndarray], size: tuple[int, int]) -> None:
        truth, boxes = self._annotations(example), detections["boxes"]

        def of_boxes(chosen: np.ndarray, objects: np.ndarray) -> np.ndarray:
            return box_overlaps(boxes[chosen], truth.boxes[objects], truth.crowd[objects])

        labels, scores = detections["labels"], detections["scores"]
        if np.isnan(scores).any():
            raise ValueError(f"expected scores of valid detections, got NaN in example {example}")
        if labels.size and not 0 <= labels.min() <= labels.max() < self._num_classes:
            expected = f"expected labels from 0 to {self._num_classes - 1}"
            raise ValueError(f"{expected}, got {labels.min()} to {labels.max()} in example {example}")
        true = truth.labels, truth.area, truth.crowd
        self.boxes.add(example, labels, scores, box_areas(boxes), *true, of_boxes)
        if "masks" not in detections:
            return
        if truth.masks is None:
            raise ValueError("expected objects with masks, as the net predicts them, got boxes alone")
        true_masks = truth.masks
        masks = [paste_mask(mask, box, size) for mask, box in zip(detections["masks"], boxes, strict=True)]

        def of_masks(chosen: np.ndarray, objects: np.ndarray) -> np.ndarray:
            return iou([masks[d] for d in chosen], [true_masks[g] for g in objects], truth.crowd[objects])

        if self.masks is None:
            self.masks = AveragePrecision(self._num_classes)
        self.masks.add(example, labels, scores, np.array([mask.area for mask in masks]), *true, of_masks)

    def result(self) -> dict[str, float]:
        """The twelve numbers, or with masks the twenty-four."""
        masks = {} if self.masks is None else self.masks.result()
        return {**self.boxes.result(), **{MASK_PREFIX + name: x for name, x in masks.items()}}

    def by_class(self) -> dict[str, np.ndarray]:
        """The same of each class: float64 [K]."""
        masks = {} if self.masks is None else self.masks.by_class()
        return {**self.boxes.by_class(), **{MASK_PREFIX + name: x for name, x in masks.items()}}


def original_boxes(boxes: np.ndarray, size: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Boxes on the canvas in pixels of the image file: [n, 4] -> float64 [n, 4].

    Args:
      size, original: int [2]: height and width of the image on the canvas and in the file.
    """
    scale = np.asarray(original, np.float64) / np.asarray(size, np.float64)
    return np.asarray(boxes, np.float64) * np.tile(scale[::-1], 2)
