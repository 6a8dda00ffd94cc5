"""The confusion matrix of pixels equals scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from resnet_jax.metrics.segmentation import SegmentationEvaluator, SegmentationMetrics

CLASSES = 6


def batch(seed, examples=4):
    """Label maps with ignored pixels; class 4 is only predicted, class 5 is absent."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, 3, 255], (examples, 7, 9), p=[0.5, 0.2, 0.1, 0.05, 0.15]).astype(np.uint8)
    predicted = np.where(rng.random(labels.shape) < 0.6, labels, rng.integers(0, 5, labels.shape)) % 5
    return labels, predicted


def test_the_matrix_is_that_of_scikit_learn_over_the_data_set():
    evaluator = SegmentationEvaluator(CLASSES)
    labels, predicted = zip(*(batch(seed) for seed in range(5)), strict=True)
    for x, y in zip(labels, predicted, strict=True):
        evaluator.update({"classes": y}, {"label": x, "mask": np.ones(len(x))})
    flat, guesses = np.concatenate(labels).ravel(), np.concatenate(predicted).ravel()
    flat, guesses = flat[flat != 255], guesses[flat != 255]
    metrics = evaluator.metrics
    assert np.array_equal(metrics.matrix, confusion_matrix(flat, guesses, labels=range(CLASSES)))
    expected = jaccard_score(flat, guesses, labels=range(5), average=None)
    np.testing.assert_array_equal(metrics.iou, [*expected, np.nan])
    assert metrics.iou[4] == 0
    assert evaluator.result() == pytest.approx(
        {"miou": expected.mean(), "pixel_accuracy": (flat == guesses).mean()}, rel=1e-15
    )


def test_masked_examples_count_nothing():
    labels, predicted = batch(0)
    evaluator, other = SegmentationEvaluator(CLASSES), SegmentationEvaluator(CLASSES)
    evaluator.update({"classes": predicted}, {"label": labels, "mask": np.array([1, 0, 1, 0])})
    other.update({"classes": predicted[::2]}, {"label": labels[::2], "mask": np.ones(2)})
    assert np.array_equal(evaluator.metrics.matrix, other.metrics.matrix)


def test_without_labelled_pixels_nothing_is_defined():
    metrics = SegmentationMetrics(2)
    metrics.add(np.full((2, 2), 255), np.zeros((2, 2)))
    assert np.isnan(list(metrics.result().values())).all()


@pytest.mark.parametrize(
    ("labels", "predicted", "words"),
    [([6], [0], "labels from 0 to 5, got 6"), ([0], [-1], "classes from 0 to 5, got -1"), ([0, 1], [0], "got .1.")],
)
def test_classes_that_do_not_exist_are_refused(labels, predicted, words):
    with pytest.raises(ValueError, match=words):
        SegmentationMetrics(CLASSES).add(np.array(labels), np.array(predicted))
