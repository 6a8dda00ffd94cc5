"""Eight simulated devices against one, and pmap against shard_map."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe

from resnet_jax import make_eval_step, make_train_step
from resnet_jax.data import make_augment
from resnet_jax.distributed.devices import MODES, Parallel
from resnet_jax.training import optim
from resnet_jax.training.state import TrainState
from resnet_jax.types import Preprocess

DOUBLE = {"num_classes": 10, "dtype": "float64", "param_dtype": "float64"}
TX = optim.sgd(0.1, weight_decay=1e-4)
AUGMENT = make_augment(Preprocess(8, 8, (0.5,) * 3, (0.25,) * 3), padding=1, horizontal_flip=True)


def batches(n=16, steps=3):
    rng = np.random.default_rng(0)
    for _ in range(steps):
        yield {
            "image": rng.integers(0, 256, (n, 8, 8, 3), np.uint8),
            "label": rng.integers(0, 10, n).astype(np.int32),
        }


@cache
def run(mode, devices, **overrides):
    """Parameters, statistics and metrics after three steps with crops, flips, dropout and stochastic depth."""
    model = recipe.small("cifar_resnet20", 1, 2, drop_path=0.5, drop_rate=0.5, **DOUBLE, **overrides)
    parallel = Parallel(mode, jax.devices()[:devices])
    step = parallel.map(make_train_step(model, TX, augment=AUGMENT), donate_state=True)
    state = TrainState.from_variables(recipe.variables(model, np.float64), TX, jax.random.key(0))
    state, history = parallel.replicate(state), []
    for batch in parallel.prefetch(batches()):
        state, sums = step(state, batch)
        history.append(sums)
    return jax.tree.map(np.asarray, (state, history))


def close(a, b, tolerance):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance), a, b)


@pytest.mark.slow
def test_pmap_and_shard_map_agree_exactly(x64):
    jax.tree.map(np.testing.assert_array_equal, run("pmap", 8, bn_axis="data"), run("shard_map", 8, bn_axis="data"))


@pytest.mark.slow
def test_with_synchronised_statistics_eight_devices_equal_one(x64):
    """Random numbers too: they belong to the example, not to its device. `shard_map` gives the numbers of `pmap`."""
    close(run("pmap", 8, bn_axis="data"), run("pmap", 1), 1e-5)  # preprocessing is in float32
    close(run("pmap", 8, frozen_norms=("all",)), run("pmap", 1, frozen_norms=("all",)), 1e-5)


@pytest.mark.slow
def test_statistics_of_each_device_alone_differ(x64):
    one, eight = run("pmap", 1)[0], run("pmap", 8)[0]
    assert any(
        np.abs(a - b).max() > 1e-2 for a, b in zip(*map(jax.tree.leaves, (one.params, eight.params)), strict=True)
    )


def test_frozen_statistics_stay_to_the_bit_on_three_devices():
    """In float32, three thirds do not add up to one."""
    model = recipe.small("cifar_resnet20", 1, 2, frozen_norms=("all",), num_classes=10)
    parallel = Parallel(devices=jax.devices()[:3])
    start = TrainState.from_variables(recipe.variables(model), TX, jax.random.key(0))
    step = parallel.map(make_train_step(model, TX, augment=AUGMENT))
    state, _ = step(parallel.replicate(start), parallel.shard(next(batches(6))))
    jax.tree.map(np.testing.assert_array_equal, state.batch_stats, start.batch_stats)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_not_multiplied_by_the_number_of_devices(x64, mode):
    model = recipe.small("cifar_resnet20", 1, 2, frozen_norms=("all",), **DOUBLE)
    tx = optim.sgd(1.0, momentum=0.0)
    start = TrainState.from_variables(recipe.variables(model, np.float64), tx, jax.random.key(0))
    batch = next(batches()) | {"image": np.random.default_rng(1).standard_normal((16, 8, 8, 3))}
    parallel = Parallel(mode)
    state, _ = parallel.map(make_train_step(model, tx))(parallel.replicate(start), parallel.shard(batch))

    def mean_loss(params):
        logits = model.apply(
            {"params": params, "batch_stats": start.batch_stats}, jnp.asarray(batch["image"]), train=True
        )
        return -jnp.mean(jax.nn.log_softmax(logits.logits)[jnp.arange(16), batch["label"]])

    gradient = jax.jit(jax.grad(mean_loss))(start.params)
    close(jax.tree.map(jnp.subtract, start.params, jax.tree.map(np.asarray, state.params)), gradient, 1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_the_state_is_donated_and_nothing_is_compiled_after_the_first_step(mode):
    model = recipe.small("cifar_resnet20", 1, 2, num_classes=10)
    parallel = Parallel(mode)
    step = parallel.map(make_train_step(model, TX, augment=AUGMENT), donate_state=True)
    evaluation = parallel.map(make_eval_step(model, prepare=lambda x: x.astype(jnp.float32)))
    sample = np.zeros((1, 8, 8, 3), np.uint8)
    state = parallel.replicate(TrainState.create(model, TX, jax.random.key(0), sample))
    feed = parallel.prefetch(batches(steps=6))
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
    old = state
    state, _ = step(state, next(feed))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old.params))
    evaluation(state, parallel.shard(next(batches())))
    assert compiled
    compiled.clear()
    for batch in feed:
        state, _ = step(state, batch)
        evaluation(state, batch)
    jax.block_until_ready(state)
    assert compiled == []


@pytest.mark.parametrize("mode", MODES)
def test_every_device_holds_the_whole_state_and_its_share_of_the_batch(mode):
    parallel = Parallel(mode)
    state = parallel.replicate({"w": np.arange(3.0), "step": np.int32(4)})
    assert state["w"].sharding.is_fully_replicated and len(state["w"].sharding.device_set) == 8
    batch = parallel.shard(next(batches()))
    assert all(shard.data.size == 2 for shard in batch["label"].addressable_shards)


def test_batches_that_cannot_be_split_are_refused():
    with pytest.raises(ValueError, match="expected a batch that 8 devices divide, got 12; did you mean 16"):
        Parallel().shard(next(batches(12)))
    with pytest.raises(ValueError, match="expected parallel mode pmap or shard_map, got 'jit'"):
        Parallel("jit")


@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_any_makes_no_implicit_transfer(mode):
    with jax.transfer_guard("disallow"):
        assert [bool(jax.device_get(Parallel(mode).any(value))) for value in (True, False)] == [True, False]
