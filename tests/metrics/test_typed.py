"""Means are divided once, at the end, over batches and devices alike; sums add up; the newest of `Last` counts."""

import functools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.metrics.typed import Last, Mean, Sum, merge, reduce, results


def metrics(values, weights, step=0):
    values, weights = jnp.asarray(values, jnp.float32), jnp.asarray(weights, jnp.float32)
    return {"loss": Mean.of(values, weights), "examples": Sum(weights.sum()), "step": Last(jnp.asarray(step))}


def test_a_mean_over_batches_weighs_examples_not_batches():
    merged = merge(metrics([1, 2, 3], [1, 1, 1]), metrics([10, 99], [1, 0], step=7))
    assert results(merged) == {"loss": 4.0, "examples": 4.0, "step": 7.0}


def test_values_of_weight_zero_add_nothing_not_even_nan():
    assert results(metrics([1, math.nan], [1, 0]))["loss"] == 1.0


def test_a_mean_of_no_examples_is_nan():
    assert math.isnan(results(metrics([1, 2], [0, 0]))["loss"])


@pytest.mark.parametrize("devices", [1, 4])
def test_reduce_gives_every_device_the_metrics_of_the_whole_batch(devices):
    values, weights = np.arange(8.0), np.array([1, 1, 0, 1, 1, 1, 0, 1.0])

    @partial(jax.pmap, axis_name="data", devices=jax.devices()[:devices])
    def step(values, weights):
        return reduce(metrics(values, weights, step=3), "data")

    reduced = step(*(x.reshape(devices, -1) for x in (values, weights)))
    one = jax.tree.map(lambda x: x[-1], reduced)
    assert results(one) == results(metrics(values, weights, step=3))


def test_reduce_without_an_axis_changes_nothing():
    one = metrics([1, 2], [1, 1])
    assert results(reduce(one, None)) == results(one)


def test_host_sums_are_exact_where_float32_would_stand_still():
    batches = [{"n": Sum(np.float64(2**24))}, *({"n": Sum(np.float64(1))} for _ in range(10))]
    assert results(functools.reduce(merge, batches)) == {"n": 2**24 + 10}


def test_metrics_can_be_carried_through_a_scan():
    first = metrics([0.0], [0.0])
    last, _ = jax.lax.scan(lambda c, x: (merge(c, metrics(x[None], jnp.ones(1))), None), first, jnp.arange(1.0, 5.0))
    assert results(last)["loss"] == 2.5


def test_a_name_has_one_type_of_metric():
    with pytest.raises(ValueError, match="metric 'loss': expected Mean, got Sum"):
        merge(metrics([1], [1]), {"loss": Sum(jnp.zeros(()))})
