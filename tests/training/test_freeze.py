"""Frozen parameters, their averages and the statistics of their norms keep their bits."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from small_steps import MODEL, TX, batch, close, fresh

from resnet_jax import make_train_step
from resnet_jax.distributed.devices import Parallel
from resnet_jax.training import optim
from resnet_jax.training.state import TrainState


def test_frozen_parameters_keep_their_value_to_the_bit(x64):
    """Parameters, their averages and their norms' statistics: no decay, no momentum, whatever the optimiser does."""
    frozen = optim.match_path("stem|stage1")
    options = {"axis_name": None, "ema_decay": 0.5, "frozen": frozen}
    for tx in (optim.without(TX, frozen), TX):  # also where the optimiser does not know
        step = jax.jit(make_train_step(MODEL, tx, **options))
        before = state = TrainState.from_variables(fresh().variables, tx, jax.random.key(0), ema=True)
        for seed in range(3):
            state, sums = step(state, batch(8, seed))
        for old, new in ((before.variables, state.variables), (before.ema, state.ema)):
            same = jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), old, new)
            for path, stays in flatten_dict(same, sep="/").items():
                assert stays == frozen(path), path
    assert np.isfinite(sums["grad_norm"])


def test_frozen_parameters_keep_their_value_on_devices_in_microbatches_and_with_adamw(x64):
    frozen, parallel = optim.match_path("stem|stage1"), Parallel("pmap", jax.devices()[:2])
    tx = optim.without(optim.adamw(0.1, weight_decay=0.1), frozen)
    step = parallel.map(make_train_step(MODEL, tx, frozen=frozen, accumulate=2))
    before = fresh(tx=tx)
    after, _ = step(parallel.replicate(before), parallel.shard(batch(8)))
    same = jax.tree.map(
        lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(),
        before.variables,
        jax.device_get(after).variables,
    )
    assert all(stays == frozen(path) for path, stays in flatten_dict(same, sep="/").items())


@pytest.mark.parametrize("remat", ["none", "block"])
def test_norms_with_frozen_parameters_are_frozen(x64, remat):
    """The other parameters train as if the net itself had frozen those norms."""
    model, frozen = MODEL.clone(remat=remat), optim.match_path("^(stem|stage1)")
    state, sums = jax.jit(make_train_step(model, TX, axis_name=None, frozen=frozen))(fresh(), batch(8))
    frozen_model = MODEL.clone(frozen_norms=("stem", "stage1"))
    reference, others = jax.jit(make_train_step(frozen_model, TX, axis_name=None))(fresh(), batch(8))
    assert sums["loss"] == pytest.approx(float(others["loss"]), rel=1e-12)
    assert sums["grad_norm"] < others["grad_norm"]  # no gradient of the frozen ones
    for part in ("stage2_block0", "head"):
        close(state.params[part], reference.params[part], 1e-12)
    close(state.batch_stats, reference.batch_stats, 1e-12)
