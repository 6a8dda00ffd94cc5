"""Predictions of dense nets in pixels of the image files: as text, as JSON and drawn into the image.

A detector's prediction for an image has "boxes" [D, 4] in pixels of the canvas, "scores" [D], "labels" int [D] from 0,
"valid" bool [D] and perhaps "masks" [D, M, M]; a segmentation net's has "classes" int [H, W] of the canvas. Both have
"size" and "original_size", int [2]: height and width of the image on the canvas and in its file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnet_jax.images.label_maps import enlarge_labels, resize_labels
from resnet_jax.images.pasting import paste_mask
from resnet_jax.images.rle import RLE, encode, to_coco
from resnet_jax.metrics.coco import original_boxes

IGNORED = 255  # in a label map
Row = Mapping[str, np.ndarray]


class ImageObjects(NamedTuple):
    """Detections in an image file, the highest score first."""

    boxes: np.ndarray  # float64 [n, 4]: x0, y0, x1, y1 in its pixels
    labels: np.ndarray  # int [n], from 0
    scores: np.ndarray  # float [n]
    masks: list[RLE] | None  # of its size

    def names(self, classes: Sequence[str]) -> list[str]:
        """ "cat 0.98" for each."""
        return [f"{classes[k]} {score:.2f}" for k, score in zip(self.labels, self.scores, strict=True)]


def image_objects(prediction: Row, *, with_masks: bool = True) -> ImageObjects:
    """The valid detections of an image, and their masks where the net predicts them."""
    chosen = np.flatnonzero(prediction["valid"])
    size, original = prediction["size"], prediction["original_size"]
    boxes = original_boxes(prediction["boxes"][chosen], size, original)
    masks = None
    if with_masks and "masks" in prediction:
        shape = tuple(np.asarray(original).tolist())
        masks = [paste_mask(m, box, shape) for m, box in zip(prediction["masks"][chosen], boxes, strict=True)]
    return ImageObjects(boxes, prediction["labels"][chosen], prediction["scores"][chosen], masks)


def coco_results(
    objects: ImageObjects, image: str, classes: Sequence[str], category_ids: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """Detections as COCO's result files have them.

    "image_id" is the number that an image file of COCO is named by ("000000000139.jpg"), otherwise the file's name.
    "category_id" is one of `category_ids`, those of the training data. (): it is the label that torchvision's detectors
    have: 1 is the first class; for torchvision's weights that is COCO's id. "category" is the name of the class.
    """
    stem = Path(image).stem
    identity = {"image_id": int(stem) if stem.isdecimal() else Path(image).name}
    ids = category_ids or range(1, len(classes) + 1)
    results = []
    for i, (x0, y0, x1, y1) in enumerate(objects.boxes.tolist()):
        label = int(objects.labels[i])
        one: dict[str, Any] = {**identity, "category_id": ids[label], "category": classes[label]}
        one |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "score": float(objects.scores[i])}
        if objects.masks is not None:
            one["segmentation"] = to_coco(objects.masks[i])
        results.append(one)
    return results


def image_label_map(prediction: Row) -> np.ndarray:
    """The class of each pixel of the image file: uint8 [H, W]; edges of regions are smooth where it is enlarged."""
    height, width = np.asarray(prediction["size"]).tolist()
    height_in_file, width_in_file = np.asarray(prediction["original_size"]).tolist()
    labels, size = np.asarray(prediction["classes"])[:height, :width], (height_in_file, width_in_file)
    if height_in_file < height or width_in_file < width:
        return resize_labels(labels, size, centers=True)
    return enlarge_labels(labels, size)


def class_regions(labels: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes in a label map [H, W], the largest first: "class", "index", its "share" of the pixels, and its
    "segmentation" as COCO's run lengths.
    """
    present, counts = np.unique(labels[labels != IGNORED], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        {
            "class": classes[k],
            "index": k,
            "share": count / labels.size,
            "segmentation": to_coco(encode(labels == k)),
        }
        for k, count in zip(present[order].tolist(), counts[order].tolist(), strict=True)
    ]


def shares_text(labels: np.ndarray, classes: Sequence[str]) -> str:
    """ "background 61.3 %, cat 38.7 %"."""
    present, counts = np.unique(labels[labels != IGNORED], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    pairs = zip(present[order].tolist(), counts[order].tolist(), strict=True)
    return ", ".join(f"{classes[k]} {100 * count / labels.size:.1f} %" for k, count in pairs)


def objects_text(objects: ImageObjects, classes: Sequence[str]) -> str:
    """ "2 objects: cat 0.98, dog 0.51"."""
    names = objects.names(classes)
    return f"{len(names)} object{'' if len(names) == 1 else 's'}{': ' if names else ''}{', '.join(names)}"


def draw_detections(picture: np.ndarray, objects: ImageObjects, classes: Sequence[str]) -> np.ndarray:
    """The picture of an image file with its detections: uint8 [H, W, 1 or 3] -> uint8 [H', W', 3]."""
    from resnet_jax.analysis.drawing import Drawn, draw_objects

    masks = None if objects.masks is None else [mask.decode() for mask in objects.masks]
    return draw_objects(picture, Drawn(objects.boxes, objects.labels, objects.names(classes), masks))


def draw_classes(picture: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The picture of an image file with the classes of its pixels, int [H, W], and a legend."""
    from resnet_jax.analysis.drawing import draw_label_map

    return draw_label_map(picture, labels, classes)


def draw_truth(picture: np.ndarray, truth: Any, classes: Sequence[str]) -> np.ndarray:
    """The picture of an image file with its annotations (`data.sources.annotations.Annotations`)."""
    from resnet_jax.analysis.drawing import Drawn, draw_objects

    names = [classes[k] + (" (crowd)" if crowd else "") for k, crowd in zip(truth.labels, truth.crowd, strict=True)]
    masks = None if truth.masks is None else [mask.decode() for mask in truth.masks]
    return draw_objects(picture, Drawn(truth.boxes, truth.labels, names, masks))


def beside_truth(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Two pictures of an image with their headings: uint8 [H, W, 3] each -> uint8 [H', W', 3]."""
    from resnet_jax.analysis.drawing import side_by_side

    return side_by_side([prediction, truth], ["prediction", "truth"])


def sheet(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of any sizes in two columns: uint8 [H, W, 3] each -> uint8 [H', W', 3]."""
    from resnet_jax.analysis.contact_sheet import grid

    height, width = np.max([picture.shape[:2] for picture in pictures], axis=0)
    padded = [np.pad(x, ((0, height - len(x)), (0, width - x.shape[1]), (0, 0))) for x in pictures]
    return grid(np.stack(padded), columns=2, gap=8)
