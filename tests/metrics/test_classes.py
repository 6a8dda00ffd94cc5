"""Ties and NaN count against the label; NumPy and JAX agree; calibration error against a closed form."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.metrics.classes import (
    calibration_error,
    calibration_gaps,
    label_ranks,
    predicted_classes,
    reported_top_k,
)

LOGITS = np.array([[3, 2, 1], [1, 1, 0], [0, np.nan, 1], [-np.inf, 0, -np.inf], [5, 6, 7]], np.float32)
LABELS = np.array([0, 0, 2, 1, 0], np.int32)


def test_ranks_count_ties_and_nan_against_the_label():
    assert label_ranks(LOGITS, LABELS).tolist() == [0, 1, 1, 0, 2]
    assert label_ranks(LOGITS, np.array([-1, 3, 9, 0, 0])).tolist() == [2, 2, 2, 2, 2]


def test_predicted_classes_are_the_label_exactly_where_its_rank_is_zero():
    predicted = predicted_classes(LOGITS, LABELS)
    assert ((predicted == LABELS) == (label_ranks(LOGITS, LABELS) == 0)).all()
    assert predicted.tolist() == [0, 1, 1, 1, 2]


def test_small_label_types_hold_many_classes():
    logits = np.eye(300, dtype=np.float32)[[7, 255]]
    assert predicted_classes(logits, np.array([7, 255], np.uint8)).tolist() == [7, 255]


@pytest.mark.parametrize("function", [label_ranks, predicted_classes])
def test_numpy_and_jax_agree(function, strict_dtypes):
    logits = np.random.default_rng(0).integers(-3, 3, (50, 6)).astype(np.float32)
    labels = np.random.default_rng(1).integers(-1, 7, 50).astype(np.int32)
    assert function(logits, labels).tolist() == jax.jit(function)(jnp.asarray(logits), jnp.asarray(labels)).tolist()


def test_host_ranks_keep_float64():
    logits = np.array([[1, 1 + 1e-12]])
    assert label_ranks(logits, np.array([0])).tolist() == [1]
    assert label_ranks(logits, np.array([1])).tolist() == [0]


def test_top5_is_reported_with_more_than_five_classes():
    assert reported_top_k(5) == (1,) and reported_top_k(6) == (1, 5)


def test_calibration_error_is_the_mean_gap_between_confidence_and_accuracy():
    confidence, correct = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0, 0, 1], bool)
    assert calibration_error(confidence, correct) == pytest.approx((4 * 0.15 + 2 * 0.1) / 6)
    assert math.isnan(calibration_error(np.array([0.5, np.nan]), np.array([True, True])))


def test_calibration_gaps_add_up_over_batches():
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(100), rng.random(100) < 0.5
    parts = calibration_gaps(confidence[:30], correct[:30]) + calibration_gaps(confidence[30:], correct[30:])
    assert np.abs(parts).sum() / 100 == pytest.approx(calibration_error(confidence, correct))
