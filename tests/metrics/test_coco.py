"""The evaluator of detections in batches."""

import coco_cases
import numpy as np
import pytest

from resnet_jax.metrics.coco import RESULTS, CocoEvaluator, original_boxes

MOST = 12  # detections of an image
CANVAS = 65  # half the size of the images


def outputs(detections, masks):
    """An image's row of the net's outputs, padded: boxes on the canvas, and masks that fill their boxes."""
    count = len(detections)
    row = {
        "boxes": np.zeros((MOST, 4), np.float32),
        "scores": np.zeros(MOST, np.float32),
        "labels": np.zeros(MOST, np.int32),
        "valid": np.arange(MOST) < count,
    }
    row["boxes"][:count] = detections.boxes * CANVAS / coco_cases.SIDE
    row["scores"][:count], row["labels"][:count] = detections.scores, detections.labels
    return row | ({"masks": np.ones((MOST, 28, 28), np.float32)} if masks else {})


def updated(evaluator, images, order, mask=None, masks=False):
    rows = [outputs(images[i][1], masks) for i in order]
    size = np.tile(np.array([[CANVAS, CANVAS]]), (len(order), 1))
    batch = {
        "example": np.array(order),
        "mask": np.ones(len(order)) if mask is None else mask,
        "size": size,
        "original_size": np.full_like(size, coco_cases.SIDE),
    }
    evaluator.update({name: np.stack([row[name] for row in rows]) for name in rows[0]}, batch)
    return evaluator


def evaluator(images):
    return CocoEvaluator(lambda example: images[example][0], 2)


def test_padded_batches_on_any_number_of_processes_equal_pycocotools():
    images = coco_cases.case(17, images=7)
    expected, _ = coco_cases.reference(images)
    together = updated(evaluator(images), images, range(7)).result()
    np.testing.assert_allclose(np.nan_to_num(list(together.values()), nan=-1), expected, rtol=0, atol=1e-12)
    apart = evaluator(images)
    for order, mask in (([4, 2, 6], [1, 1, 1]), ([0, 3, 4], [1, 1, 1]), ([1, 5, 0], [1, 1, 0])):
        updated(apart, images, order, np.array(mask))
    np.testing.assert_equal(apart.result(), together)


def test_masks_are_measured_at_the_size_of_the_image_file():
    """Objects and detections fill their boxes: their masks overlap as the boxes do, but for the pasted border."""
    images = []
    for seed in (3, 5, 8, 12):
        for truth, detections in coco_cases.case(seed):
            masks = [coco_cases.encode(filled(box)) for box in truth.boxes.astype(int)]
            fields = truth.boxes, truth.labels, masks, truth.crowd, truth.area, truth.scores
            images.append((coco_cases.Objects(*fields), detections))
    result = updated(evaluator(images), images, range(len(images)), masks=True).result()
    assert tuple(result) == RESULTS
    assert result["mask_ap50"] == pytest.approx(result["ap50"], abs=0.1)
    assert result["mask_ar100"] == pytest.approx(result["ar100"], abs=0.1)


def filled(box):
    mask = np.zeros((coco_cases.SIDE, coco_cases.SIDE), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def test_objects_without_masks_are_refused_for_a_net_with_masks():
    (truth, detections), *_ = coco_cases.case(3)
    boxes = coco_cases.Objects(truth.boxes, truth.labels, None, truth.crowd, truth.area, truth.scores)
    with pytest.raises(ValueError, match="with masks, as the net predicts them"):
        updated(evaluator([(boxes, detections)]), [(boxes, detections)], [0], masks=True)


def test_boxes_are_scaled_by_side():
    boxes = original_boxes(np.array([[1, 2, 3, 4]]), np.array([10, 20]), np.array([25, 100]))
    assert boxes.tolist() == [[5, 5, 15, 10]]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("scores", np.nan, "scores of valid detections, got NaN in"), ("labels", 2, "labels from 0 to 1, got .* to 2 in")],
)
def test_scores_without_a_value_and_labels_without_a_class_are_refused(name, value, message):
    images = coco_cases.case(3)
    row = outputs(images[0][1], masks=False)
    row[name] = np.full_like(row[name], value)
    batch = {"example": [0], "mask": [1], "size": [[CANVAS, CANVAS]], "original_size": [[CANVAS, CANVAS]]}
    with pytest.raises(ValueError, match=f"expected {message} example 0"):
        evaluator(images).update(
            {key: x[None] for key, x in row.items()} | {"valid": np.ones_like(row["valid"])[None]}, batch
        )
