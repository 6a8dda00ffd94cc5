"""Metrics of an interrupted logging interval survive a checkpoint, each by its type."""

import json

import jax.numpy as jnp
import pytest

from resnet_jax.metrics.typed import Last, Mean, Sum, results
from resnet_jax.runs.loop.interval import Interval, restored_metrics, saved_metrics


def step(loss, pixels=(1.0, 1.0), scale=0.0):
    """Metrics of a step of 4 examples, on a device."""
    count = jnp.float32(4)
    return {
        "count": Sum(count),
        "loss": Mean(jnp.float32(loss) * 4, count),
        "pixels": Mean(*map(jnp.float32, pixels)),
        "positives": Sum(jnp.float32(3)),
        "scale": Last(jnp.float32(scale)),
    }


def interval(*steps, saved=None):
    """An interval of these steps after a checkpoint's, all read."""
    interval = Interval(restored_metrics(saved or {}), [(number, step, None) for number, step in enumerate(steps, 1)])
    interval.add([metrics for _, metrics in interval.fetch()])
    return interval


STEPS = step(2.0, (1.0, 10.0), 5.0), step(4.0, (9.0, 10.0), 6.0), step(3.0, (30.0, 30.0), 7.0)
WHOLE = {"count": 12.0, "loss": 3.0, "pixels": 0.8, "positives": 9.0, "scale": 7.0}


def test_each_metric_is_merged_by_its_type():
    assert results(interval(*STEPS).merged) == WHOLE


def test_an_interval_that_a_checkpoint_interrupts_has_the_same_results():
    saved = json.loads(json.dumps(saved_metrics(interval(*STEPS[:2]).merged)))
    assert saved == {
        "count": 8.0,
        "loss": 24.0,
        "pixels": {"mean": [10.0, 20.0]},
        "positives": {"sum": 6.0},
        "scale": {"last": 6.0},
    }
    assert results(interval(STEPS[2], saved=saved).merged) == WHOLE


def test_plain_numbers_of_older_checkpoints_are_means_over_the_examples_and_the_sums_of_the_step():
    saved = {"count": 8.0, "loss": 24.0, "grad_norm": 4.0, "skipped": 1.0}
    restored = restored_metrics(saved)
    expected = {"count": Sum(8), "loss": Mean(24, 8), "grad_norm": Mean(4, 8), "skipped": Sum(1)}
    assert restored == expected and saved_metrics(restored) == saved


def test_metrics_of_one_part_alone_are_dropped():
    """As after a change of the config, or of a metric's type."""
    saved = {"count": 8.0, "loss": 24.0, "top1": 5.0, "positives": 6.0}
    assert results(interval(STEPS[2], saved=saved).merged) == {"count": 12.0, "loss": 3.0}


def test_an_interval_without_steps_is_empty():
    assert not Interval() and Interval(unread=[(1, STEPS[0], None)]) and interval(STEPS[0])


def test_another_form_is_refused():
    with pytest.raises(ValueError, match="expected a metric 'loss' as a checkpoint holds it, got {'median': 1}"):
        restored_metrics({"count": 1.0, "loss": {"median": 1}})
