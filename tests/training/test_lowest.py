"""The weights after the epoch with the lowest training loss are kept beside the latest."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from fake_steps import fake_step, run, state

from resnet_jax.training.lowest import keeping_lowest, with_lowest
from resnet_jax.training.state import TrainState

EPOCH = 2
TX = optax.sgd(0.5)


def lowest_run(losses):
    return run(keeping_lowest(fake_step(TX), EPOCH), with_lowest(state(TX)), losses)[0]


@pytest.mark.parametrize(
    "means, steps",
    [
        ([3, 2, 4, 1, 5], [1, 2, 2, 4, 4, 4, 4, 8, 8, 8]),
        ([2, 2, 2], [1, 2, 2, 2, 2, 2]),  # of equal epochs the first one
        ([np.nan, 5, 6], [1, 2, 3, 4, 4, 4]),  # no epoch yet: the latest
        ([1, np.nan, 0.5], [1, 2, 2, 2, 2, 6]),
        ([np.inf, np.inf, 1], [1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_lowest_mean_counts(means, steps):
    losses = np.repeat(np.float32(means), EPOCH) + np.tile([0.25, -0.25], len(means))
    states = lowest_run(losses)
    assert [int(one.lowest["step"]) for one in states] == steps
    for number, (one, step) in enumerate(zip(states, steps, strict=True), 1):
        selected = one.selected
        np.testing.assert_array_equal(selected.params["w"], np.full(2, -0.5 * step))
        np.testing.assert_array_equal(selected.batch_stats["mean"], [step])
        np.testing.assert_array_equal(one.params["w"], np.full(2, -0.5 * number))  # training goes its way
    finite = [mean for mean in means if np.isfinite(mean)]
    assert float(states[-1].lowest["loss"]) == min(finite)


def test_an_epoch_that_has_not_ended_does_not_count():
    states = lowest_run([3, 3, 1])
    assert int(states[-1].lowest["step"]) == 2 and float(states[-1].lowest["loss"]) == 3


def test_a_resumed_run_keeps_the_same_weights():
    losses = np.random.default_rng(0).normal(size=13).astype(np.float32)
    states = lowest_run(losses)
    saved = jax.tree.map(np.asarray, states[6])  # in the middle of an epoch
    resumed = run(keeping_lowest(fake_step(TX), EPOCH), jax.tree.map(jnp.asarray, saved), losses[7:])[0]
    jax.tree.map(np.testing.assert_array_equal, resumed[-1], states[-1])


def test_a_state_without_them_selects_the_latest():
    one = state(TX)
    assert type(one.selected) is type(one) is TrainState and one.selected is one
    assert type(with_lowest(one).selected) is TrainState


def test_averages_are_those_of_the_state():
    one = TrainState.from_variables(state(TX).variables, TX, jax.random.key(0), ema=True)
    averaged = with_lowest(replace(one, ema=jax.tree.map(lambda x: x + 3, one.ema))).averaged
    assert type(averaged) is TrainState and averaged.params["w"].tolist() == [3, 3]
    assert with_lowest(one).lowest["params"]["w"] is not one.params["w"]
