import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax.models import sort_components
from resnet_jax.training import optim

PARAMS = {"conv": {"kernel": jnp.array([[1.0, -2.0]])}, "norm": {"scale": jnp.array([3.0]), "bias": jnp.array([4.0])}}
GRADS = {"conv": {"kernel": jnp.array([[0.5, 0.25]])}, "norm": {"scale": jnp.array([-1.0]), "bias": jnp.array([2.0])}}


def after(tx, steps=2):
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(steps):
        updates, state = tx.update(GRADS, state, params)
        params = optax.apply_updates(params, updates)
    return params


def by_hand(w, g, decay, nesterov, rates):
    v = 0.0
    for rate in rates:
        d = g + decay * w
        v = 0.9 * v + d
        w = w - rate * (d + 0.9 * v if nesterov else v)
    return w


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decay_all", [False, True])
def test_sgd_equals_pytorch(nesterov, decay_all):
    rates = [0.1, 0.05]
    tx = optim.sgd(lambda i: jnp.asarray(rates)[i], nesterov=nesterov, weight_decay=0.1, decay_all=decay_all)
    got = after(tx)
    for layer, leaf in (("conv", "kernel"), ("norm", "scale"), ("norm", "bias")):
        decay = 0.1 if leaf == "kernel" or decay_all else 0.0
        expected = by_hand(np.asarray(PARAMS[layer][leaf]), np.asarray(GRADS[layer][leaf]), decay, nesterov, rates)
        np.testing.assert_allclose(got[layer][leaf], expected, rtol=1e-6)


def test_adamw_decays_kernels_separately_from_the_gradient():
    with_decay, without = after(optim.adamw(0.1, weight_decay=0.5), 1), after(optim.adamw(0.1), 1)
    np.testing.assert_allclose(
        with_decay["conv"]["kernel"], without["conv"]["kernel"] - 0.05 * PARAMS["conv"]["kernel"]
    )
    np.testing.assert_array_equal(with_decay["norm"]["scale"], without["norm"]["scale"])
    everything = after(optim.adamw(0.1, weight_decay=0.5, decay_all=True), 1)
    assert (everything["norm"]["scale"] != without["norm"]["scale"]).all()


def test_the_global_norm_is_clipped_before_decay():
    got = after(optim.sgd(1.0, momentum=0.0, clip_norm=1.0, weight_decay=0.1), 1)
    norm = np.sqrt(0.5**2 + 0.25**2 + 1 + 4)
    np.testing.assert_allclose(got["norm"]["bias"], 4 - 2 / norm, rtol=1e-6)
    np.testing.assert_allclose(got["conv"]["kernel"], [[1 - 0.5 / norm - 0.1, -2 - 0.25 / norm + 0.2]], rtol=1e-6)


def test_warmup_then_cosine():
    schedule = optim.warmup_cosine(peak_lr=0.4, steps=20, warmup_steps=5, final_lr=0.1)
    expected = [0.4 * i / 5 for i in range(5)]
    expected += [0.1 + 0.15 * (1 + np.cos(np.pi * i / 15)) for i in range(16)]
    np.testing.assert_allclose([schedule(i) for i in range(21)], expected, rtol=1e-5)
    assert float(optim.warmup_cosine(peak_lr=0.4, steps=20)(0)) == pytest.approx(0.4)


def test_polynomial_decay():
    schedule = optim.warmup_polynomial(peak_lr=0.02, steps=20, warmup_steps=4, power=0.9)
    rates = [float(schedule(i)) for i in (0, 2, 4, 12, 20, 25)]
    np.testing.assert_allclose(rates, [0, 0.01, 0.02, 0.02 * 0.5**0.9, 0, 0], rtol=1e-6)
    assert float(optim.warmup_polynomial(peak_lr=0.02, steps=20)(0)) == pytest.approx(0.02)


def test_step_decay():
    schedule = optim.step_decay(peak_lr=0.1, boundaries=[4, 6], warmup_steps=2)
    np.testing.assert_allclose(
        [schedule(i) for i in range(8)], [0, 0.05, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-5
    )
    np.testing.assert_allclose(optim.step_decay(peak_lr=0.1, boundaries=[4])(0), 0.1)


NET = {part: {"kernel": jnp.ones(2)} for part in ("stem", "stage1_block0", "stage1_block1", "stage2_block0", "head")}


def test_rates_by_pattern_and_by_depth():
    def factors(*arguments):
        return {part: leaves["kernel"] for part, leaves in optim.rate_factors(NET, *arguments).items()}

    assert factors([("stage1", 0.5), ("stage|stem", 0.1)]) == {
        "stem": 0.1,
        "stage1_block0": 0.5,
        "stage1_block1": 0.5,
        "stage2_block0": 0.1,
        "head": 1.0,
    }
    decayed = factors([("stem", 3.0)], 0.5)
    assert list(decayed.values()) == [3 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0] and list(decayed) == list(NET)
    assert sort_components(reversed(NET)) == list(NET)
    shared = optim.rate_factors(NET | {"memory": {"kernel": jnp.ones(2)}}, (), 0.5)  # of a SkipNet's gates
    assert shared["memory"]["kernel"] == 1.0 and shared["stem"]["kernel"] == 1 / 16


@pytest.mark.parametrize("make", [optim.sgd, optim.adamw])
def test_a_factor_multiplies_the_learning_rate(make):
    """As an optimiser with that rate for the one parameter, decay included."""
    factor = {"conv": {"kernel": 0.1}, "norm": {"scale": 1.0, "bias": 2.0}}
    got = after(optim.with_rates(make(0.5, weight_decay=0.1), lambda params: factor))
    for (layer, leaf), multiplier in (
        (("conv", "kernel"), 0.1),
        (("norm", "scale"), 1.0),
        (("norm", "bias"), 2.0),
    ):
        expected = after(make(0.5 * multiplier, weight_decay=0.1))[layer][leaf]
        np.testing.assert_allclose(got[layer][leaf], expected, rtol=1e-6)


def test_frozen_parameters_have_no_optimiser_state():
    tx = optim.without(optim.sgd(0.1, weight_decay=0.1), optim.match_path("^norm"))
    assert [x.shape for x in jax.tree.leaves(tx.init(PARAMS)) if x.ndim] == [(1, 2)]
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert not any(update.any() for update in jax.tree.leaves(updates["norm"])) and updates["conv"]["kernel"].all()
    with pytest.raises(ValueError, match="expected a regular expression, got '\\(': missing"):
        optim.match_path("(")
