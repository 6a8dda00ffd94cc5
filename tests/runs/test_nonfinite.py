"""A NaN anywhere shows in what a compiled step returns: XLA's CPU fusions drop it in a maximum (ops/activations.py)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe

from resnet_jax import make_eval_step, make_train_step
from resnet_jax.models import list_models
from resnet_jax.tasks import Classification
from resnet_jax.training import optim
from resnet_jax.training.core import forward_step
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
    for name in sorted(list_models(), key=lambda name: -len(recipe.atoms_of_net(recipe.small(name, 1)))):
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
