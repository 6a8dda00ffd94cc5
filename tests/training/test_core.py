"""The core of the training step: gradients, norms and random keys."""

import re
from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_steps import MODEL, TX, Linear, batch, close, fresh

from resnet_jax import Outputs, make_train_step
from resnet_jax.distributed.devices import MODES, Parallel
from resnet_jax.metrics.typed import Last, results
from resnet_jax.tasks import Term
from resnet_jax.training import metrics
from resnet_jax.training.core import (
    _ratio,
    core_step,
    differentiate,
    forward_totals,
    mean_gradient,
    mean_gradient_in_one_pass,
    tree_norm,
)
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import make_step


def test_masked_examples_have_no_effect(x64):
    model = MODEL.clone(frozen_norms=("all",))  # batch statistics see every example
    step = jax.jit(make_train_step(model, TX, axis_name=None))
    few, many = batch(4), batch(4)
    many = {k: np.concatenate([v, v[::-1]]) for k, v in many.items()} | {"mask": np.float32([1] * 4 + [0] * 4)}
    (a, sums_a), (b, sums_b) = step(fresh(model), few), step(fresh(model), many)
    close(a.params, b.params)
    close(sums_a, sums_b, 1e-5)  # sums are weighted by a float32 mask


def test_augmentation_gets_the_index_of_each_example_and_a_key_for_each_step(x64):
    seen = []

    def augment(batch, key):
        seen.append(batch["index"].shape)
        noise = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i)))(batch["index"])
        return {**batch, "image": batch["image"] * noise[:, None, None, None]}

    still = optax.set_to_zero()
    step = jax.jit(make_train_step(MODEL, still, axis_name=None, augment=augment))
    state, first = step(fresh(tx=still), batch(4))
    _, second = step(state, batch(4))
    assert seen[0] == (4,)
    assert first["loss"] != second["loss"]
    assert step(fresh(tx=still), batch(4))[1]["loss"] == first["loss"]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_norms_are_of_the_mean_gradient_and_of_the_parameters_before_the_update(x64, accumulate):
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((4, 2, 2, 1)), np.array([0, 2, 1, 1])
    mask = np.array([1.0, 1.0, 0.0, 1.0])
    tx = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(0.1))
    state = TrainState.create(Linear(), tx, jax.random.key(0), images)
    step = jax.jit(make_train_step(Linear(), tx, axis_name=None, accumulate=accumulate))
    means = metrics.mean([step(state, {"image": images, "label": labels, "mask": mask})[1]])
    kernel = np.asarray(state.params["dense"]["kernel"])
    x = images.reshape(4, -1)
    p = np.exp(x @ kernel)
    p /= p.sum(1, keepdims=True)
    residual = (p - np.eye(3)[labels]) * mask[:, None] / mask.sum()
    gradient = np.concatenate([x.T @ residual, residual.sum(0, keepdims=True)])
    assert means["grad_norm"] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
    assert means["param_norm"] == pytest.approx(np.linalg.norm(kernel), rel=1e-6)


class Sowing(nn.Module):
    """Logits w * x, with a loss and a metric of its own."""

    @nn.compact
    def __call__(self, images, train, example_index=None):
        w = self.param("w", nn.initializers.ones, (2,))
        self.sow("losses", "decay", 0.5 * jnp.sum(w**2))
        self.sow("metrics", "size", jnp.abs(images).sum((1, 2, 3)))
        return Outputs(images.reshape(len(images), 2) * w[None], {})


def test_terms_of_several_weights_and_sown_losses_add_up(x64):
    """w follows the gradient of mean_n a_n + sum_n k_n b_n / sum_n k_n + w^2 / 2, on one device or in two parts."""
    rng = np.random.default_rng(0)
    x, k, mask = rng.standard_normal((4, 1, 2, 1)), np.array([1.0, 3.0, 2.0, 9.0]), np.array([1.0, 1.0, 1.0, 0.0])

    def objective(outputs, batch, axis_name):
        first, second = outputs.logits[:, 0], outputs.logits[:, 1] ** 2
        weights = batch["label"] * batch["mask"]
        terms = {"first": Term((first * batch["mask"]).sum()), "second": Term((second * weights).sum(), weights.sum())}
        return terms, {"largest": Last(jnp.float64(7))}

    state = TrainState.create(Sowing(), optax.sgd(1.0), jax.random.key(0), x)
    state = replace(state, params={"w": jnp.ones(2)})
    flat, used = x.reshape(4, 2)[:3], k[:3] / k[:3].sum()
    gradient = np.array([flat[:, 0].mean(), 2 * (flat[:, 1] ** 2 * used).sum()]) + 1
    for accumulate in (1, 2):
        step = make_step(Sowing(), optax.sgd(1.0), objective, axis_name=None, accumulate=accumulate)
        new, typed = jax.jit(step)(state, {"image": x, "label": k, "mask": mask})
        np.testing.assert_allclose(new.params["w"], 1 - gradient, rtol=1e-12)
        means = results(typed)
        expected = {"first": flat[:, 0].mean(), "second": (flat[:, 1] ** 2 * used).sum(), "largest": 7.0, "count": 3.0}
        assert {name: means[name] for name in expected} == pytest.approx(expected, rel=1e-12)
        assert means["loss"] == pytest.approx(expected["first"] + expected["second"], rel=1e-12)
        assert means["size"] == pytest.approx(np.abs(flat).sum(1).mean(), rel=1e-12)
    with pytest.raises(ValueError, match="gradient_flow: expected terms of one weight, got 2"):
        jax.eval_shape(
            make_step(Sowing(), optax.sgd(1.0), objective, axis_name=None, gradient_flow=True),
            state,
            {"image": x, "label": k},
        )


def test_a_weight_that_is_nan_or_negative_is_no_weight_of_zero():
    ratios = [float(_ratio(jnp.float32(4), jnp.float32(weight))) for weight in (2, 0, -1, np.nan)]
    np.testing.assert_array_equal(ratios, [2, 0, np.nan, np.nan])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("devices", [1, 2, 4])
def test_one_backward_pass_equals_one_for_each_weight(x64, mode, devices):
    """Terms averaged over examples, by a weight, and by a weight of 0 that has a least one; a shard without weight."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 1, 2, 1))
    batch = {"image": x, "label": np.array([0, 0, 1, 3, 0, 2, 5, 0.0]), "mask": (np.arange(8) < 7).astype(float)}
    model, tx = Sowing(), optax.sgd(1.0)

    def objective(outputs, batch, axis_name):
        first, second = outputs.logits[:, 0] ** 2, outputs.logits[:, 1] ** 3
        mask = batch["mask"].astype(float)
        weights, none = batch["label"] * mask, jnp.zeros(())
        terms = {"mean": Term((first * mask).sum()), "weighted": Term((second * weights).sum(), weights.sum())}
        terms["rare"] = Term((first * second * mask).sum(), none, least_weight=3.0)
        return terms | {"absent": Term(none * first.sum(), none)}, {}

    totals = forward_totals(model, objective, "data")
    state = replace(TrainState.create(model, tx, jax.random.key(0), x), params={"w": jnp.array([0.5, -1.5])})
    parallel = Parallel(mode, jax.devices()[:devices])
    results, collectives = [], []
    for gradient in (mean_gradient_in_one_pass(totals, "data"), mean_gradient(differentiate(totals), "data")):
        step = parallel.map(core_step(gradient, tx, axis_name="data"))
        inputs = parallel.replicate(state), parallel.shard(batch)
        results.append(jax.device_get(step(*inputs)))
        collectives.append(_collectives(step, *inputs))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-13, atol=1e-14), *results)
    w, flat, weights = np.array([0.5, -1.5]), x.reshape(8, 2)[:7], batch["label"][:7]
    a, b = flat.T
    expected = [
        2 * w[0] * (a**2).mean() + 2 * w[0] * w[1] ** 3 * (a**2 * b**3).sum() / 3 + w[0],
        3 * w[1] ** 2 * (b**3 * weights).sum() / weights.sum()
        + 3 * w[0] ** 2 * w[1] ** 2 * (a**2 * b**3).sum() / 3
        + w[1],
    ]
    np.testing.assert_allclose(results[0][0].params["w"], w - expected, rtol=1e-12)
    assert collectives == [2, 1]


def test_the_norm_of_leaves_of_any_dtype_and_shape(x64, strict_dtypes):
    tree = {
        "scalar": jnp.asarray(2.0, jnp.float64),
        "vector": jnp.arange(3, dtype=jnp.float32),
        "low": jnp.full((2, 4, 2), 300, jnp.bfloat16),  # its square has few digits
        "empty": jnp.zeros((0, 3)),
    }
    assert tree_norm(tree) == pytest.approx(np.sqrt(4 + 5 + 16 * 300**2), rel=1e-7)
    assert tree_norm({}) == 0 and tree_norm({"low": tree["low"]}).dtype == jnp.float32


def _collectives(step, state, batch):
    """The number of `all-reduce`s of a compiled step: XLA combines those that do not wait for each other."""
    return len(re.findall(r" all-reduce(?:-start)?\(", step.lower(state, batch).compile().as_text()))
