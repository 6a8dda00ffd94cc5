"""Steps that are not finite are skipped and counted; a NaN anywhere shows in what a compiled step returns: XLA's CPU
fusions drop it in a maximum (ops/activations.py).
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from small_steps import ordinary

from resnet_jax import make_eval_step, make_train_step
from resnet_jax.metrics.typed import Last, Mean, Sum
from resnet_jax.models import get_spec, list_models
from resnet_jax.tasks import Classification
from resnet_jax.training import optim
from resnet_jax.training.core import forward_step
from resnet_jax.training.nonfinite import skip_nonfinite
from resnet_jax.training.state import TrainState

N, SIDE = 4, 64
LAST = ("params", "stage4_block0", "branch", "conv2", "kernel")
PLACES = {
    "pixel": lambda state, image: (state, image.at[1, 5, 5, 1].set(jnp.nan)),
    "weight": lambda state, image: (poked(state, ("params", "stem", "conv", "kernel"), (3, 3, 1, 7)), image),
    "kernel": lambda state, image: (poked(state, LAST, (..., 3)), image),
    "statistic": lambda state, image: (poked(state, ("batch_stats", "stem", "norm", "mean"), (5,)), image),
}


def poked(state, path, index):
    def poke(names, leaf):
        here = tuple(getattr(name, "name", getattr(name, "key", None)) for name in names)
        return leaf.at[index].set(jnp.nan) if here == path else leaf

    return jax.tree_util.tree_map_with_path(poke, state)


@pytest.fixture(scope="module")
def setting():
    model, tx = recipe.small("resnet18", 1, num_classes=5), optim.sgd(0.1)
    variables = jax.tree.map(jnp.asarray, recipe.variables(model))
    image = jnp.asarray(np.random.default_rng(0).standard_normal((N, SIDE, SIDE, 3)), jnp.float32)
    return model, tx, TrainState.from_variables(variables, tx, jax.random.key(0)), image


def test_a_compiled_step_of_a_linear_probe_skips_it():
    """The smallest case: with XLA's own maximum, this step would continue with finite numbers."""
    model, tx = recipe.small("cifar_resnet8", 1, stages=1, num_classes=5, frozen_norms=("all",)), optim.sgd(0.1)
    state = TrainState.from_variables(jax.tree.map(jnp.asarray, recipe.variables(model)), tx, jax.random.key(0))
    image = np.random.default_rng(0).standard_normal((N, 32, 32, 3)).astype(np.float32)
    image[1, 5, 5, 1] = np.nan
    frozen = {"frozen": lambda path: not path.startswith("head/dense")}
    step = jax.jit(make_train_step(model, tx, axis_name=None, skip_nonfinite=True, **frozen))
    assert step(state, {"image": image, "label": np.arange(N)})[1]["skipped"] == 1


@pytest.mark.slow
def test_compiled_evaluation_and_prediction_show_it(setting):
    model, _, state, image = setting
    label = jnp.arange(N)
    evaluate = jax.jit(make_eval_step(model, axis_name=None))
    predict = jax.jit(forward_step(model, Classification().predictions, axis_name=None))
    assert np.isfinite(evaluate(state, {"image": image, "label": label})["loss"])
    for place, poke in PLACES.items():
        bad, images = poke(state, image)
        sums, forward = (step(bad, {"image": images, "label": label}) for step in (evaluate, predict))
        assert np.isnan(sums["loss"]) and sums["top1"] <= (N - 1 if place == "pixel" else 0), place
        lost = np.isnan(forward.predictions["log_probability"]).all(-1)
        assert lost.tolist() == [place != "pixel" or i == 1 for i in range(N)], place


@pytest.mark.slow
@pytest.mark.parametrize("probe", [True, False], ids=["linear probe", "training"])
def test_compiled_training_skips_it(setting, probe):
    model, tx, state, image = setting
    make = partial(make_train_step, tx=tx, axis_name=None, skip_nonfinite=True)
    if probe:
        step = make(model.clone(frozen_norms=("all",)), frozen=lambda path: not path.startswith("head/dense"))
    else:
        step = make(model)
    step, label = jax.jit(step), jnp.arange(N)
    assert step(state, {"image": image, "label": label})[1]["skipped"] == 0
    for place, poke in PLACES.items():
        if place == "statistic" and not probe:
            continue  # training computes its own
        bad, images = poke(state, image)
        new, sums = step(bad, {"image": images, "label": label})
        assert sums["skipped"] == 1 and sums["count"] == 0, place
        jax.tree.map(np.testing.assert_array_equal, new.params, bad.params)


def representatives():
    """Nets that together have every stem, pool, block, branch, norm, activation and head of the registry."""
    seen, chosen = set(), []
    names = [name for name in list_models() if not get_spec(name).is_dense]
    for name in sorted(names, key=lambda name: -len(recipe.atoms_of_net(recipe.small(name, 1)))):
        model = recipe.small(name, 1)
        new = {model.global_pool, *recipe.atoms_of_net(model)} - seen
        if new:
            seen |= new
            chosen.append(name)
    return chosen


@pytest.mark.slow
def test_compiled_inference_shows_it_in_every_kind_of_net():
    image = np.random.default_rng(0).standard_normal((2, SIDE, SIDE, 3)).astype(np.float32)
    image[1, 5, 5, 1] = np.nan
    for name in representatives():
        model = recipe.small(name, 1, 2, num_classes=5)
        forward = jax.jit(partial(model.apply, train=False))
        logits = forward(recipe.variables(model), image).logits
        assert np.isnan(logits[1]).all() and np.isfinite(logits[0]).all(), name


@pytest.mark.slow
def test_a_nonfinite_step_changes_only_the_step_counts(x64):
    state, step, batch = ordinary(ema_decay=0.9, skip_nonfinite=True)
    before, sums = step(state, batch)
    assert sums["skipped"] == 0 and sums["count"] == 8
    bad = batch["image"].copy()
    bad[3, 2, 2] = np.inf
    after, sums = step(before, {**batch, "image": bad})
    assert sums["skipped"] == 1 and sums["count"] == 0 and sums["loss"] == 0
    assert after.step == 2 and before.step == 1
    for name in ("params", "batch_stats", "ema", "key"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(before, name))
    old, new = jax.tree.leaves(before.opt_state), jax.tree.leaves(after.opt_state)
    changed = [(a, b) for a, b in zip(old, new, strict=True) if not np.array_equal(a, b)]
    assert changed == [(1, 2)]  # the count of the schedule
    following, sums = step(after, batch)
    assert sums["skipped"] == 0 and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(following.params))


@pytest.mark.parametrize("value, is_skipped", [(2.0, False), (np.inf, True)])
def test_metrics_of_a_skipped_step_are_those_of_no_examples_but_the_newest_value_stays(value, is_skipped):
    count = jnp.float32(4)

    def step(state, batch):
        norm = Mean(batch["value"] * count, count)
        metrics = {"loss": norm, "grad_norm": norm, "pixels": Mean(jnp.float32(6), jnp.float32(9))}
        metrics |= {"images": Sum(jnp.int32(4)), "scale": Last(jnp.float32(7)), "count": Sum(count)}
        return replace(state, step=state.step + 1, params=state.params + 1), metrics

    zero = jnp.zeros(())
    state = TrainState(step=jnp.int32(0), params=zero, batch_stats={}, opt_state=(), ema={}, key=zero)
    new, metrics = jax.jit(skip_nonfinite(step))(state, {"value": jnp.float32(value)})
    assert (new.step, new.params) == (1, 0 if is_skipped else 1)
    assert metrics["scale"] == Last(7) and metrics["skipped"] == Sum(is_skipped)
    assert metrics["images"] == Sum(0 if is_skipped else 4) and metrics["count"] == Sum(0 if is_skipped else 4)
    assert metrics["pixels"] == (Mean(0, 0) if is_skipped else Mean(6, 9))
