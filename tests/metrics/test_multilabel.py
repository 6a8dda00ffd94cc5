"""Average precision and F1 as scikit-learn 1.9 computes them; thresholds that maximise F1; streaming."""

import math

import numpy as np
import pytest

from resnet_jax.metrics.multilabel import (
    MultiLabelMetrics,
    average_precision,
    best_thresholds,
    f1_scores,
)

RNG = np.random.default_rng(0)
SCORES = np.round(RNG.standard_normal((40, 4)), 1).astype(np.float32)  # rounded, so that some are equal
TARGETS = (RNG.random((40, 4)) < [0.5, 0.2, 0.1, 0.6]).astype(np.float32)
# average_precision_score and f1_score of scikit-learn, of the arrays above and scores of at least 0
AP = [0.4690069524773472, 0.3282622139764997, 0.08204495614035087, 0.5264932130406729]
F1 = [0.5, 0.42857142857142855, 0.08, 0.5531914893617021]
F1_MICRO = 0.4264705882352941


def test_average_precision_is_scikit_learns():
    assert average_precision(SCORES, TARGETS) == pytest.approx(AP, abs=1e-12)


def test_average_precision_of_a_perfect_and_of_a_useless_ranking():
    targets = np.array([[1], [1], [0], [0]])
    assert average_precision(np.array([[4.0], [3], [2], [1]]), targets) == 1
    assert average_precision(np.zeros((4, 1)), targets) == 0.5  # all tied: the share of positives


def test_a_class_without_positives_is_nan_and_left_out_of_the_means():
    scores, targets = np.array([[1.0, 0.0], [-1.0, 1.0]]), np.array([[1, 0], [0, 0]])
    assert np.isnan(average_precision(scores, targets)).tolist() == [False, True]
    metrics = MultiLabelMetrics()
    metrics.update(scores, targets, np.ones(2))
    assert metrics.result() == {"map": 1.0, "f1_macro": 1.0, "f1_micro": pytest.approx(1 / 2)}


def test_nan_scores_make_average_precision_nan():
    assert np.isnan(average_precision(np.array([[np.nan], [1.0]]), np.array([[1], [0]]))).all()


def test_f1_is_scikit_learns():
    assert f1_scores(SCORES, TARGETS, 0.0) == pytest.approx(F1, abs=1e-12)


def test_no_other_threshold_has_a_higher_f1():
    thresholds = best_thresholds(SCORES, TARGETS)
    best = f1_scores(SCORES, TARGETS, thresholds)
    for threshold in np.linspace(-3, 3, 121):
        assert (f1_scores(SCORES, TARGETS, threshold) <= best + 1e-12).all()


def test_thresholds_lie_between_scores_and_never_predict_an_absent_class():
    scores, targets = np.array([[3.0, 1], [1.0, 2], [0.0, 3]]), np.array([[1, 0], [0, 0], [0, 0]])
    assert best_thresholds(scores, targets).tolist() == [2.0, math.inf]


def test_streaming_skips_padding_and_equals_the_whole():
    metrics = MultiLabelMetrics()
    for rows in (slice(0, 15), slice(15, 40)):
        n = rows.stop - rows.start
        padded = [np.concatenate([x[rows], np.full((3, 4), 9.0)]) for x in (SCORES, TARGETS)]
        metrics.update(*padded, np.r_[np.ones(n), np.zeros(3)])
    assert metrics.result() == pytest.approx({"map": np.mean(AP), "f1_macro": np.mean(F1), "f1_micro": F1_MICRO})


def test_no_examples_are_an_error():
    with pytest.raises(ValueError, match="expected at least one example, got none"):
        MultiLabelMetrics().result()
