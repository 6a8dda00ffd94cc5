"""COCO's twelve numbers equal those of pycocotools and faster-coco-eval."""

import coco_cases
import numpy as np
import pytest

from resnet_jax.images import rle
from resnet_jax.metrics.average_precision import NUMBERS, AveragePrecision, box_areas, box_overlaps


def measured(images, kind, order=None, classes=2):
    metric = AveragePrecision(classes)
    for i in range(len(images)) if order is None else order:
        truth, detections = images[i]

        def overlaps(chosen, objects, truth=truth, detections=detections):
            crowd = truth.crowd[objects]
            if kind == "bbox":
                return box_overlaps(detections.boxes[chosen], truth.boxes[objects], crowd)
            return rle.iou([detections.masks[j] for j in chosen], [truth.masks[j] for j in objects], crowd)

        areas = box_areas(detections.boxes) if kind == "bbox" else np.array([x.area for x in detections.masks])
        scores, labels = detections.scores, detections.labels
        metric.add(i, labels, scores, areas, truth.labels, truth.area, truth.crowd, overlaps)
    return metric


def as_library(values):
    return np.nan_to_num(np.array(list(values)), nan=-1)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_twelve_numbers_equal_those_of_the_libraries(kind):
    cases = 0
    for seed in range(220):
        images = coco_cases.case(seed)
        if not any(len(detections) for _, detections in images):
            continue  # pycocotools has no results without detections
        cases += 1
        expected, by_class = coco_cases.reference(images, kind=kind)
        metric = measured(images, kind)
        each = metric.by_class()
        numbers = {name: np.mean(x[~np.isnan(x)]) if not np.isnan(x).all() else np.nan for name, x in each.items()}
        np.testing.assert_allclose(as_library(numbers.values()), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(as_library(each["ap"]), by_class, rtol=0, atol=1e-12)
        if seed % 4 == 0:
            faster, _ = coco_cases.reference(images, kind=kind, faster=True)
            np.testing.assert_allclose(as_library(metric.result().values()), faster, rtol=0, atol=1e-12)
            assert list(metric.result()) == list(NUMBERS)
    assert cases >= 200


def test_only_the_hundred_best_detections_of_a_class_count():
    rng = np.random.default_rng(0)
    (truth, detections), *_ = [x for seed in range(20) for x in coco_cases.case(seed) if len(x[0]) and len(x[1])]
    chosen = rng.integers(0, len(detections), 260)
    many = coco_cases.Objects(
        detections.boxes[chosen],
        detections.labels[chosen],
        [detections.masks[i] for i in chosen],
        detections.crowd[chosen],
        detections.area[chosen],
        rng.random(260),
    )
    images = [(truth, many)]
    expected, _ = coco_cases.reference(images)
    np.testing.assert_allclose(as_library(measured(images, "bbox").result().values()), expected, rtol=0, atol=1e-12)


def test_neither_the_order_of_images_nor_repeated_ones_matter():
    images = coco_cases.case(3, images=8)
    expected = measured(images, "bbox").result()
    np.testing.assert_equal(measured(images, "bbox", order=[5, 0, 5, 7, 1, 2, 6, 4, 3, 0]).result(), expected)


def test_classes_without_objects_have_no_numbers():
    (truth, detections), *_ = coco_cases.case(3)
    assert len(truth)
    metric = measured([(truth, detections)], "bbox", classes=4)
    assert np.isnan(metric.by_class()["ap"][2:]).all()
    assert metric.objects.tolist()[2:] == [0, 0]
    assert np.isnan(list(AveragePrecision(2).result().values())).all()


def test_no_detections_have_precision_and_recall_0():
    (truth, detections), *_ = coco_cases.case(3)
    nothing = coco_cases.Objects(np.zeros((0, 4)), np.zeros(0, int), [], np.zeros(0, bool), np.zeros(0), np.zeros(0))
    result = measured([(truth, nothing)], "segm").result()
    assert result["ap"] == result["ar100"] == 0
