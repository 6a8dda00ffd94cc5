"""MAE, RMSE and R2 as scikit-learn 1.9 computes them, streaming and exact for large means."""

import math

import numpy as np
import pytest

from resnet_jax.metrics.regression import RegressionMetrics


def example():
    rng = np.random.default_rng(0)
    rng.standard_normal((40, 4)), rng.random((40, 4))
    targets = rng.standard_normal((30, 2)) * [1, 10] + [0, 1000]
    return targets + rng.standard_normal((30, 2)), targets


def test_numbers_are_scikit_learns_whatever_the_batches():
    predictions, targets = example()
    metrics = RegressionMetrics()
    for rows in (slice(0, 7), slice(7, 7), slice(7, 30)):
        n = rows.stop - rows.start
        padded = [np.concatenate([x[rows], np.full((2, 2), 1e9)]) for x in (predictions, targets)]
        metrics.update(*padded, np.r_[np.ones(n), np.zeros(2)])
    expected = {"mae": 0.8329864029498497, "rmse": 1.0101540355207517, "r2": 0.3279692272412334}
    assert metrics.result() == pytest.approx(expected, abs=1e-12)
    errors = np.abs(predictions - targets)
    np.testing.assert_allclose(metrics.by_target()["mae"], errors.mean(0), rtol=1e-12)
    np.testing.assert_allclose(metrics.by_target()["rmse"], np.sqrt((errors**2).mean(0)), rtol=1e-12)


def test_r2_is_one_minus_the_share_of_unexplained_variance():
    metrics = RegressionMetrics()
    metrics.update(np.array([1.0, 2, 4]), np.array([1.0, 2, 3]), np.ones(3))
    assert metrics.result()["r2"] == pytest.approx(1 - 1 / 2)


def test_r2_of_a_constant_target_is_nan():
    metrics = RegressionMetrics()
    metrics.update(np.array([1.0, 2]), np.array([3.0, 3]), np.ones(2))
    assert math.isnan(metrics.result()["r2"]) and metrics.result()["mae"] == 1.5


def test_a_large_mean_costs_no_precision():
    metrics = RegressionMetrics()
    targets = 1e9 + np.arange(10.0)
    for part in np.split(targets, 2):
        metrics.update(part, part, np.ones(5))
        metrics.update(part + 1, part, np.ones(5))
    assert metrics.result()["r2"] == pytest.approx(1 - 10 / (2 * 82.5), abs=1e-9)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"expected predictions \[2\], got \[2, 1\]"):
        RegressionMetrics().update(np.ones((2, 1)), np.ones(2), np.ones(2))
