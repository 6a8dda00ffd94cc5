"""Predictions of dense nets in pixels of the image files."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from resnet_jax.tasks import dense_predictions as dense
from resnet_jax.tasks.detection import Detection
from resnet_jax.tasks.protocol import TaskOptions

CLASSES = ("cat", "dog", "owl")


def detections(masks=True):
    """Two detections and padding, on a canvas of 64 pixels that an image of 40 x 30 pixels fills half."""
    row = {
        "boxes": np.array([[8, 0, 24, 32], [0, 16, 12, 28], [0, 0, 0, 0]], np.float32),
        "scores": np.array([0.9, 0.4, 0], np.float32),
        "labels": np.array([2, 0, 0]),
        "valid": np.array([True, True, False]),
        "size": np.array([32, 24]),
        "original_size": np.array([40, 30]),
    }
    return row | ({"masks": np.ones((3, 14, 14), np.float32)} if masks else {})


def test_detections_are_results_as_coco_has_them():
    results = dense.coco_results(dense.image_objects(detections()), "val/000000000139.jpg", CLASSES)
    assert [one["image_id"] for one in results] == [139, 139]
    assert [(one["category_id"], one["category"]) for one in results] == [(3, "owl"), (1, "cat")]
    assert results[0]["bbox"] == [10, 0, 20, 40] and results[0]["score"] == pytest.approx(0.9)
    assert results[1]["bbox"] == [0, 20, 15, 15]
    assert results[0]["segmentation"]["size"] == [40, 30]
    mask = coco_mask.decode(results[1]["segmentation"])
    assert mask[20:35, :15].mean() == 1 and mask.sum() < 17 * 17
    boxes = dense.coco_results(dense.image_objects(detections(masks=False)), "photo.jpg", CLASSES)
    assert boxes[0]["image_id"] == "photo.jpg" and "segmentation" not in boxes[0]


def test_detections_of_a_sure_task_have_a_score():
    task = Detection(classes=CLASSES)
    assert task.format(task.confident(detections(), 0.5), 5) == "1 object: owl 0.90"
    assert task.format(detections(), 5) == "2 objects: owl 0.90, cat 0.40"
    none = task.confident(detections(), 0.95)
    assert task.format(none, 5) == "0 objects; the highest score is 0.90"
    assert task.columns(none, 5) == {"objects": 0, "names": ""}


def test_label_maps_have_the_size_of_the_image_file():
    classes = np.zeros((64, 64), np.uint8)
    classes[16:32, :24], classes[32:] = 1, 2
    labels = dense.image_label_map({"classes": classes, "size": [32, 24], "original_size": [40, 30]})
    assert labels.shape == (40, 30) and (labels[:20] == 0).all() and (labels[20:] == 1).all()
    first, second = dense.class_regions(labels, CLASSES)
    assert (first["class"], first["share"], second["index"]) == ("cat", 0.5, 1)
    assert np.array_equal(coco_mask.decode(second["segmentation"]), labels)
    assert dense.shares_text(labels, CLASSES) == "cat 50.0 %, dog 50.0 %"


def test_detections_are_drawn_into_the_image():
    picture = dense.draw_detections(np.zeros((40, 30, 3), np.uint8), dense.image_objects(detections()), CLASSES)
    assert picture.any() and picture.shape[0] % 40 == 0


def test_results_have_the_ids_of_the_data():
    """Ids with gaps: of the training data in a checkpoint's record, of other data in its evaluation."""
    data = SimpleNamespace(classes=CLASSES, category_ids=(1, 44, 90), annotations=None)
    record = Detection().for_data(data, TaskOptions()).record()
    task = Detection(classes=CLASSES).restored(json.loads(json.dumps(record)))
    assert [one["category_id"] for one in task.results(detections(), "a.jpg")] == [90, 1]
    assert [one["image_id"] for one in task.results(detections() | {"image_id": np.array(5)}, "139.jpg")] == [5, 5]
    assert task.describe(detections(), 5)["objects"][0]["category_id"] == 90
    other = task.for_examples(SimpleNamespace(category_ids=(3, 2, 1), annotations=None))
    assert [one["category_id"] for one in other.results(detections(), "a.jpg")] == [1, 3]
    assert task.for_examples(SimpleNamespace(category_ids=(), annotations=None)).category_ids == (1, 44, 90)
    assert Detection(classes=CLASSES).restored({}).record() == {}
    with pytest.raises(ValueError, match="expected the record of a detection with 3 category_ids, got"):
        task.restored({"category_ids": [1, 2]})


def test_numbers_have_titles_and_lines_of_a_training_have_six():
    assert [*Detection.titles.values()] == ["AP", "AP50", "AP75", "mask AP", "mask AP50", "mask AP75"]
    assert Detection.eval_titles["mask_ap_small"] == "mask AP small" and Detection.eval_titles["ar100"] == "AR100"
    assert Detection.eval_titles.keys() == Detection.measures.keys()
