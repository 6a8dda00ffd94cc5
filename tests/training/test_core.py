"""The core of the training step: gradients, norms and random keys."""

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_steps import MODEL, TX, Linear, batch, close, fresh

from resnet_jax import Outputs, make_train_step
from resnet_jax.metrics.typed import Last, results
from resnet_jax.tasks import Term
from resnet_jax.training import metrics
from resnet_jax.training.core import _ratio
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
