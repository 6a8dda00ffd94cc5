"""Several steps in one program: the state and metrics of the same steps in programs of their own, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from small_steps import Linear

from resnet_jax.distributed.devices import MODES, Parallel
from resnet_jax.ops import lowering_for
from resnet_jax.tasks import get_task
from resnet_jax.training import optim
from resnet_jax.training.several import several_steps
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import make_step

STEPS = 2
TX = optim.sgd(0.1, weight_decay=1e-4)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


def stacked(batches):
    return {name: np.stack([batch[name] for batch in batches], axis=1) for name in batches[0]}


def batches(n=16, channels=3):
    """One of them makes the loss NaN."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(STEPS, n, 8, 8, channels)).astype(np.float32)
    images[0] = np.nan
    return [{"image": x, "label": rng.integers(0, 3, n).astype(np.int32)} for x in images]


@pytest.mark.parametrize("mode", MODES)
def test_a_program_of_several_steps_gives_the_bits_of_each_step_alone(mode):
    """Averaged weights, accumulation, statistics of all devices, and a step that is skipped."""
    model = recipe.small("cifar_resnet20", 1, 2, num_classes=3, bn_axis="data")
    model = model.clone(stages=model.stages[:1])
    objective = get_task("classification").objective
    step = make_step(model, TX, objective, accumulate=2, ema_decay=0.9, skip_nonfinite=True)
    parallel = Parallel(mode, jax.devices()[:2])
    one, several = (parallel.map(run, donate_state=True) for run in (step, several_steps(step)))
    fresh = TrainState.from_variables(recipe.variables(model), TX, jax.random.key(0), ema=True)
    alone, each = parallel.replicate(fresh), []
    for batch in batches():
        alone, metrics = one(alone, parallel.shard(batch))
        each.append(jax.device_get(metrics))
    together, metrics = several(parallel.replicate(fresh), parallel.shard(stacked(batches())))
    assert together.step == STEPS and metrics["skipped"].value.tolist() == [1, 0]
    same((alone, jax.tree.map(lambda *x: np.stack(x), *each)), (together, metrics))


def test_other_platforms_have_a_loop_over_the_same_steps():
    model, objective = Linear(), get_task("classification").objective
    step = make_step(model, TX, objective, axis_name=None)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
    state = TrainState.from_variables(variables, TX, jax.random.key(0))
    unrolled = jax.jit(several_steps(step))(state, stacked(batches(8, 1)))
    with lowering_for("gpu"):
        loop = jax.jit(several_steps(step))
        assert "while" in loop.lower(state, stacked(batches(8, 1))).as_text()
        looped = loop(state, stacked(batches(8, 1)))
    jax.tree.map(np.testing.assert_allclose, looped, unrolled)
