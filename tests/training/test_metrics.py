import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.training import metrics


def sums(logits, labels, mask):
    n = len(labels)
    return metrics.classification(jnp.asarray(logits, jnp.float32), jnp.asarray(labels), jnp.arange(n) + 1.0, mask)


def test_top_k_counts_only_what_the_mask_keeps():
    logits = [np.arange(8), np.arange(8), np.arange(8)[::-1], np.arange(8)]
    got = sums(logits, [7, 3, 0, 2], jnp.array([1.0, 1.0, 1.0, 0.0]))
    assert {k: float(v) for k, v in got.items()} == {"loss": 6.0, "top1": 2.0, "top5": 3.0, "count": 3.0}
    assert metrics.mean([got, got]) == {"loss": 2.0, "top1": 2 / 3, "top5": 1.0}


def test_ties_and_nans_count_as_misses():
    got = sums([np.zeros(3), np.full(3, np.nan)], [0, 0], jnp.ones(2))
    assert float(got["top1"]) == 0
    assert "top5" not in got  # three classes
    logits = jnp.array([[0, 0, 0], [np.nan] * 3, [1, 1, 0], [0, 3, 2]], jnp.float32)
    labels = jnp.array([0, 0, 2, 1])
    assert metrics.predicted(logits, labels).tolist() == [1, 1, 0, 1]  # another class than the label's
    infinite = jnp.array([[np.nan, -np.inf, -np.inf], [-np.inf] * 3, [-np.inf, -np.inf, np.nan]], jnp.float32)
    assert metrics.predicted(infinite, jnp.array([0, 0, 2])).tolist() == [1, 1, 0]


def test_soft_targets_are_judged_by_their_largest():
    targets = np.array([[0.2, 0.8, 0.0], [0.6, 0.4, 0.0]], np.float32)
    assert float(sums(np.eye(3)[[1, 1]], targets, jnp.ones(2))["top1"]) == 1


def test_labels_that_are_no_class_are_misses_and_masked_nans_add_nothing(strict_dtypes):
    logits = jnp.asarray(np.tile(np.arange(8.0)[::-1], (4, 1)), jnp.float32)  # the likeliest class is 0
    soft = np.eye(8, dtype=np.float32)[[0, 0, 0, 0]]
    soft[1:3, 0] = np.nan
    loss, mask = jnp.float32([1, np.nan, 2, np.nan]), jnp.float32([1, 0, 1, 0])
    for labels in (np.int32([0, 0, -1, 0]), np.int32([0, 0, 8, 0]), soft):
        got = metrics.classification(logits, jnp.asarray(labels), loss, mask)
        assert {k: float(v) for k, v in got.items()} == {"loss": 3.0, "top1": 1.0, "top5": 1.0, "count": 2.0}


def test_labels_may_be_of_a_type_that_the_number_of_classes_does_not_fit_in(strict_dtypes):
    logits, labels = jnp.zeros((1, 1000)).at[:, 255].set(1.0), jnp.uint8([255])
    assert metrics.classification(logits, labels, jnp.ones(1), jnp.ones(1))["top1"] == 1
    assert metrics.predicted(logits, labels) == 255


def test_what_would_be_broadcast_is_refused_and_one_class_has_no_hits():
    logits, labels, ones = jnp.zeros((3, 2)), jnp.zeros(3, int), jnp.ones(3)
    with pytest.raises(ValueError, match=r"expected a loss per example, float \[3\], got \[\]"):
        metrics.classification(logits, labels, ones.mean(), ones)
    assert set(metrics.classification(logits[:, :1], labels[:, None], ones, ones)) == {"loss", "count"}


def test_labels_of_a_loss_of_ones_own_have_hits_only_where_they_name_a_class(strict_dtypes):
    logits, ones = jnp.eye(3), jnp.ones(3)
    for labels in (np.eye(3, dtype=np.int32), np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], bool)):
        got = metrics.classification(logits, jnp.asarray(labels), ones, ones)
        # The first of several.
        assert got["top1"] == 3 - (labels.dtype == bool) and got["loss"] == got["count"] == 3
    for labels in (np.zeros((3, 1), np.int32), np.zeros(3, np.float32), np.zeros((3, 3, 2), np.int32)):
        assert set(metrics.classification(logits, jnp.asarray(labels), ones, ones)) == {"loss", "count"}


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="no examples"):
        metrics.mean([])
