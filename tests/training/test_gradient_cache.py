"""Microbatches whose examples are compared with each other: the gradient of the whole batch."""

import jax
import numpy as np
import pytest
from small_pairs import GRADIENT, PairNet, pairs, state_of

from resnet_jax.distributed.devices import Parallel
from resnet_jax.metrics.typed import results
from resnet_jax.tasks import Contrastive
from resnet_jax.training.step import make_step

TASK = Contrastive()


def run(net, parts, **options):
    step = make_step(net, GRADIENT, TASK.objective, axis_name=None, accumulate=parts, compares_examples=True, **options)
    return jax.device_get(jax.jit(step)(state_of(net, GRADIENT), pairs(16)))


def check_equal(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), one[0].params, other[0].params)
    expected, actual = results(one[1]), results(other[1])
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        assert actual[name] == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("parts", [2, 4])
def test_with_frozen_norms_the_gradient_is_that_of_the_large_batch(x64, parts):
    net = PairNet(frozen=True, sows=True)
    check_equal(run(net, 1), run(net, parts))
    separate = make_step(net, GRADIENT, TASK.objective, axis_name=None, accumulate=parts)
    other, _ = jax.jit(separate)(state_of(net, GRADIENT), pairs(16))
    kernel = run(net, parts)[0].params["image"]["kernel"]
    assert np.abs(other.params["image"]["kernel"] - kernel).max() > 1e-3  # without the cache negatives are lost


def test_frozen_parameters_keep_their_values_and_norms_their_statistics(x64):
    net = PairNet()
    new, _ = run(net, 4, frozen=lambda path: path.startswith(("image", "norm")))
    old = state_of(net, GRADIENT)
    for name in ("image", "norm"):
        jax.tree.map(np.testing.assert_array_equal, new.params[name], old.params[name])
    jax.tree.map(np.testing.assert_array_equal, new.batch_stats, old.batch_stats)
    assert np.abs(new.params["text"]["embedding"] - old.params["text"]["embedding"]).max() > 1e-3


def test_running_statistics_move_once_for_each_part(x64):
    net = PairNet()
    new, _ = run(net, 4)
    state, batch = state_of(net, GRADIENT), pairs(16)
    stats = state.batch_stats
    for start in range(0, 16, 4):
        variables = {"params": state.params, "batch_stats": stats}
        part = {name: x[start : start + 4] for name, x in batch.items()}
        _, updated = net.apply(variables, part["image"], part["label"], train=True, mutable=["batch_stats"])
        stats = updated["batch_stats"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), new.batch_stats, stats)


def test_parts_of_eight_devices_have_the_gradient_of_one_batch(x64):
    net, parallel = PairNet(frozen=True), Parallel("shard_map")
    step = make_step(net, GRADIENT, TASK.objective, accumulate=2, compares_examples=True)
    state = parallel.replicate(state_of(net, GRADIENT))
    check_equal(run(net, 1), jax.device_get(parallel.map(step)(state, parallel.shard(pairs(16)))))


def test_parts_that_do_not_divide_the_shard_and_gradient_flow_are_refused(x64):
    with pytest.raises(ValueError, match="accumulate=3 does not divide the 16 examples of a shard"):
        run(PairNet(), 3)
    with pytest.raises(ValueError, match="gradient_flow: expected accumulate=1"):
        run(PairNet(), 2, gradient_flow=True)
