"""Random cases of detections, and what pycocotools and faster-coco-eval make of them."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resnet_jax.images.rle import RLE, encode, to_coco

SIDE = 130  # of the images, pixels: objects of all three ranges of areas fit
SIDES = (4, 20, 32, 64, 96, 110)  # of objects; the ends of two ranges among them


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects of an image, or detections in it."""

    boxes: np.ndarray  # float64 [n, 4], whole numbers: overlaps may equal thresholds
    labels: np.ndarray  # int [n], from 0
    masks: list[RLE]
    crowd: np.ndarray
    area: np.ndarray  # of the boxes
    scores: np.ndarray  # of few values: ties

    def __len__(self) -> int:
        return len(self.labels)


def case(seed, images=3, classes=2):
    """Objects and detections of each image, with crowds, ties, and images and classes without either."""
    rng = np.random.default_rng(seed)
    return [_image(rng, classes) for _ in range(images)]


def _image(rng, classes):
    count = rng.choice([0, 1, 3, 5])
    boxes = _boxes(rng, count)
    labels = rng.integers(0, classes, count)
    truth = _objects(rng, boxes, labels)
    repeated = rng.permutation(np.repeat(np.arange(count), 2))[: int(rng.integers(0, 6))]
    moved = boxes[repeated] + rng.integers(-3, 4, (len(repeated), 4)) * rng.choice([0, 1, 4], (len(repeated), 1))
    others = _boxes(rng, rng.choice([0, 1, 3]))
    detected = np.concatenate([moved, others])
    detected[:, 2:] = np.maximum(detected[:, 2:], detected[:, :2] + 1)
    labels = np.concatenate([labels[repeated], rng.integers(0, classes, len(others))])
    return truth, _objects(rng, np.clip(detected, 0, SIDE), labels)


def _boxes(rng, count):
    corners = rng.integers(0, SIDE - 20, (count, 2))
    return np.concatenate([corners, np.minimum(corners + rng.choice(SIDES, (count, 2)), SIDE)], 1).astype(np.float64)


def _objects(rng, boxes, labels):
    masks = []
    for x0, y0, x1, y1 in boxes.astype(int):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[y0:y1, x0:x1] = 1
        mask[y0 : (y0 + y1) // 2, x0 : (x0 + x1) // 2] = rng.random() < 0.5
        masks.append(encode(mask))
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    scores = rng.integers(1, 6, len(boxes)) / 5
    return Objects(boxes, labels, masks, rng.random(len(boxes)) < 0.2, areas, scores)


def _records(images, which):
    """Annotations or results as COCO's files have them."""
    for i, pair in enumerate(images):
        objects = pair[which]
        for (x0, y0, x1, y1), label, mask, crowd, area, score in zip(
            objects.boxes.tolist(),
            objects.labels.tolist(),
            objects.masks,
            objects.crowd.tolist(),
            objects.area.tolist(),
            objects.scores.tolist(),
            strict=True,
        ):
            one = {"image_id": i, "category_id": label + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            one["segmentation"] = to_coco(mask)
            yield one | ({"score": score} if which else {"iscrowd": int(crowd), "area": area})


def reference(images, classes=2, kind="bbox", faster=False):
    """The twelve numbers, and the average precision of each class, of one of the libraries; -1: there is none."""
    data = {
        "images": [{"id": i, "height": SIDE, "width": SIDE} for i in range(len(images))],
        "categories": [{"id": k + 1, "name": str(k)} for k in range(classes)],
        "annotations": [{"id": i, **one} for i, one in enumerate(_records(images, 0), 1)],
    }
    results = list(_records(images, 1))
    if kind == "segm":
        for one in results:
            del one["bbox"]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = (FasterCOCO if faster else COCO)()
        truth.dataset = data
        truth.createIndex()
        evaluation = (COCOeval_faster if faster else COCOeval)(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    return np.array(evaluation.stats)[:12], precision.mean((0, 1))
