"""Collectives in the compiled training step: those that docs/performance.md counts."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe

from resnet_jax import make_eval_step, make_train_step
from resnet_jax.distributed.devices import MODES, Parallel
from resnet_jax.training import optim
from resnet_jax.training.state import TrainState

TX = optim.sgd(0.1, weight_decay=1e-4)
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def compiled(mode, devices, model, step, *, donate_state=True):
    parallel = Parallel(mode, jax.devices()[:devices])
    state = parallel.replicate(TrainState.from_variables(recipe.variables(model), TX, jax.random.key(0)))
    batch = parallel.shard({"image": np.zeros((2 * devices, 8, 8, 3), np.float32), "label": np.zeros(2 * devices, int)})
    return state, parallel.map(step, donate_state=donate_state).lower(state, batch).compile()


def collectives(program):
    """Number of each collective in a program that runs any; one that starts and ends counts once."""
    text = program.as_text()
    counts = {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in COLLECTIVES}
    return {name: count for name, count in counts.items() if count}


def net(**options):
    return recipe.small("cifar_resnet20", 1, 1, num_classes=10, **options)


CASES = [
    pytest.param(mode, devices, marks=[] if (mode, devices) == ("pmap", 2) else pytest.mark.slow)
    for mode in MODES
    for devices in (2, 4, 8)
]


@pytest.mark.parametrize(("mode", "devices"), CASES)
def test_a_step_has_one_all_reduce_and_two_collectives_for_each_synchronised_norm(mode, devices):
    """The one is of gradients, metrics and running statistics, which are averaged."""
    state, program = compiled(mode, devices, net(), make_train_step(net(), TX))
    assert collectives(program) == {"all-reduce": 1}
    norms = len(jax.tree.leaves(state.batch_stats)) // 2
    assert norms == 3
    model = net(bn_axis="data")
    _, program = compiled(mode, devices, model, make_train_step(model, TX))
    assert collectives(program) == {"all-reduce": 1 + norms, "all-gather": norms}  # backward, forward


@pytest.mark.slow
def test_accumulation_averages_and_remat_add_no_collective():
    step = make_train_step(net(remat="block"), TX, accumulate=2, ema_decay=0.9, skip_nonfinite=True)
    model = net()
    parallel = Parallel("pmap", jax.devices()[:2])
    state = TrainState.from_variables(recipe.variables(model), TX, jax.random.key(0), ema=True)
    batch = parallel.shard({"image": np.zeros((4, 8, 8, 3), np.float32), "label": np.zeros(4, int)})
    program = parallel.map(step).lower(parallel.replicate(state), batch).compile()
    assert collectives(program) == {"all-reduce": 1}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_evaluation_has_one_all_reduce(mode):
    step = make_eval_step(net(), prepare=lambda x: x.astype(jnp.float32))
    assert collectives(compiled(mode, 2, net(), step, donate_state=False)[1]) == {"all-reduce": 1}
