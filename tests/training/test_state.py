"""The state of training: arrays alone, whatever the net and the implementation of keys."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import recipe
from small_steps import TX, batch, close

from resnet_jax import make_train_step
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.models.layers import GroupNorm
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import step_keys


def test_the_state_holds_only_arrays():
    model, sample = recipe.small("cifar_resnet20"), np.zeros((1, 8, 8, 3), np.uint8)
    state = TrainState.create(model, TX, jax.random.key(0), sample)
    assert all(isinstance(leaf, jax.Array) and leaf.dtype != object for leaf in jax.tree.leaves(state))
    assert list(vars(state)) == ["step", "params", "batch_stats", "opt_state", "ema", "key"]
    assert state.key.dtype == jnp.uint32
    jax.tree.map(np.testing.assert_array_equal, state, TrainState.create(model, TX, jax.random.PRNGKey(0), sample))


def test_training_does_not_depend_on_the_implementation_of_keys():
    """Typed and raw keys, threefry and rbg: old checkpoints hold the two words of threefry, and resume to the bit."""
    model, x = recipe.small("cifar_resnet8", 1, stages=1, drop_rate=0.3), jnp.ones((4, 8, 8, 3))

    def words(key):
        state = TrainState.create(model, TX, key, x)
        keys = jax.tree.map(jax.random.key_data, step_keys(state.key, 3))
        return jax.device_get((state.key, keys, state.params["stem"]))

    reference = words(jax.random.PRNGKey(7))
    np.testing.assert_array_equal(reference[0], jax.random.split(jax.random.PRNGKey(7))[1])
    np.testing.assert_array_equal(reference[1][0], jax.random.split(jax.random.fold_in(reference[0], 3), 3)[0])
    for impl in ("threefry2x32", "rbg", "unsafe_rbg"):
        same = partial(jax.tree.map, np.testing.assert_array_equal, reference)
        same(words(jax.random.key(7, impl=impl)))
        with jax.default_prng_impl(impl), jax.legacy_prng_key("error"):
            same(words(jax.random.key(7)))
    with pytest.raises(ValueError, match=r"expected one key, as jax.random.key\(0\) gives, got uint32 \[3, 2\]"):
        TrainState.from_variables({"params": {}}, TX, jax.random.split(jax.random.key(0), 3))


def test_a_state_without_averages_is_an_error():
    with pytest.raises(ValueError, match="has no averaged weights; TrainState.create.*ema=True"):
        _ = TrainState.from_variables({"params": {"w": jnp.ones(2)}}, optax.identity(), jax.random.key(0)).averaged


def test_a_net_without_batch_statistics_is_trained_averaged_and_saved(x64, tmp_path):
    """With group norms, state and checkpoints have empty batch statistics."""
    norm = partial(GroupNorm, groups=8)
    model = recipe.small("cifar_resnet20", 1, 2, num_classes=10, norm=norm, dtype="float64", param_dtype="float64")
    state = TrainState.from_variables(recipe.variables(model, np.float64), TX, jax.random.key(0), ema=True)
    state, _ = jax.jit(make_train_step(model, TX, axis_name=None, accumulate=2, ema_decay=0.9))(state, batch(4))
    assert state.batch_stats == {} == state.ema["batch_stats"]
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, {"model": {}, "classes": [], "preprocess": {}})
        checkpoints.wait()
    close(open_checkpoint(tmp_path).state(jax.device_get(state)), state, 0)
