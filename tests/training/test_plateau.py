"""The rate falls where Keras's ReduceLROnPlateau lets it fall."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from fake_steps import fake_step, run, state

from resnet_jax.training import optim
from resnet_jax.training.nonfinite import skip_nonfinite
from resnet_jax.training.plateau import PlateauRule, reduced_on_plateau, scale_by_plateau

EPOCH = 3  # steps


def keras_rates(means, rule, rate, least):
    """The rate of each epoch, as Keras's callback sets it at the end of the one before."""
    rates, lowest, wait = [], np.inf, 0
    for mean in means:
        rates.append(rate)
        if mean < lowest - rule.min_delta:
            lowest, wait = mean, 0
        else:
            wait += 1
            if wait >= rule.patience and rate > least:
                rate, wait = max(rate * rule.factor, least), 0
    return rates


def plateau_run(losses, rule, rate=0.25, schedule=None):
    """Rates and weights of all steps."""
    schedule = schedule or optax.constant_schedule(rate)
    tx = optax.chain(optax.sgd(schedule), scale_by_plateau())
    step = reduced_on_plateau(fake_step(tx), rule, schedule, EPOCH)
    states, metrics = run(step, state(tx), losses)
    return np.array([float(one["learning_rate"].value) for one in metrics]), states


def losses_with_plateaus(rng, epochs):
    """Losses [epochs * EPOCH] that fall less and less, and their means."""
    levels = 2 * 0.9 ** np.arange(epochs) + rng.choice([0, 0.1, 0.3], epochs)
    losses = (levels[:, None] + rng.normal(scale=0.05, size=(epochs, EPOCH))).astype(np.float32)
    return losses.ravel(), losses.mean(1, dtype=np.float64)


@pytest.mark.parametrize("patience, delta, least", [(1, 0.0, 0.0), (2, 1e-4, 1e-3), (3, 0.05, 0.1), (50, 1e-4, 0.0)])
def test_rates_are_those_of_keras(patience, delta, least):
    losses, means = losses_with_plateaus(np.random.default_rng(patience), 60)
    rule = PlateauRule(0.5, patience, delta, least / 0.25)
    rates, states = plateau_run(losses, rule)
    expected = np.repeat(keras_rates(means, rule, 0.25, least), EPOCH)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    weights = [float(one.params["w"][0]) for one in states]
    np.testing.assert_allclose(weights, -np.cumsum(expected), rtol=1e-5)
    assert len(set(expected.tolist())) >= 3 or patience == 50


def test_the_scale_is_of_the_schedule():
    schedule = optim.step_decay(peak_lr=0.4, boundaries=(), warmup_steps=4)
    rates, _ = plateau_run([1.0] * 12, PlateauRule(0.5, 2), schedule=schedule)
    np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.3, *[0.4] * 5, *[0.2] * 3], rtol=1e-6)


def test_a_loss_of_nan_is_not_lower_and_skipped_steps_do_not_count():
    rule = PlateauRule(0.5, 1)
    rates, _ = plateau_run([2, 2, 2, np.nan, 1, 1, 1.5, 1.5, 1.5], rule)
    np.testing.assert_allclose(rates, [0.25] * 6 + [0.125] * 3)
    tx = optax.chain(optax.sgd(0.25), scale_by_plateau())
    inner = fake_step(tx)

    def with_norm(state, batch):
        new, metrics = inner(state, batch)
        return new, {**metrics, "grad_norm": metrics["loss"]}

    step = reduced_on_plateau(skip_nonfinite(with_norm), rule, optax.constant_schedule(0.25), EPOCH)
    states, metrics = run(step, state(tx), [2, 2, 2, np.nan, 1, 1, 1.5, 1.5, 1.5, 1, 1, 1])
    rates = [float(one["learning_rate"].value) for one in metrics]
    np.testing.assert_allclose(rates, [0.25] * 9 + [0.125] * 3)
    assert float(states[-1].params["w"][0]) == -8 * 0.25 - 3 * 0.125


def test_a_resumed_run_has_the_same_rates():
    losses, _ = losses_with_plateaus(np.random.default_rng(5), 12)
    rule, schedule = PlateauRule(0.5, 2), optax.constant_schedule(0.25)
    tx = optax.chain(optax.sgd(schedule), scale_by_plateau())
    step = reduced_on_plateau(fake_step(tx), rule, schedule, EPOCH)
    states, _ = run(step, state(tx), losses)
    saved = jax.tree.map(np.asarray, states[16])  # in the middle of an epoch
    resumed, _ = run(step, jax.tree.map(jnp.asarray, saved), losses[17:])
    jax.tree.map(np.testing.assert_array_equal, resumed[-1], states[-1])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"factor": 1.0}, "expected a factor between 0 and 1, got 1.0"),
        ({"patience": 0}, "expected patience of at least 1 epoch, got 0"),
        ({"min_scale": 1.5}, r"expected min_delta >= 0 and min_scale in \[0, 1\], got 0.0001, 1.5"),
    ],
)
def test_other_rules_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PlateauRule(**options)


@pytest.mark.parity
def test_keras_itself():
    keras = pytest.importorskip("keras")
    for patience, delta, least in [(1, 0.0, 0.0), (2, 1e-4, 1e-3), (3, 0.05, 0.1)]:
        _, means = losses_with_plateaus(np.random.default_rng(patience), 60)
        optimizer, rates = SimpleNamespace(learning_rate=np.float32(0.25)), []
        callback = keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience, min_delta=delta, min_lr=least)
        callback.set_model(SimpleNamespace(optimizer=optimizer))
        callback.on_train_begin()
        for epoch, mean in enumerate(means):
            rates.append(float(optimizer.learning_rate))
            callback.on_epoch_end(epoch, {"loss": mean})
        expected = keras_rates(means, PlateauRule(0.5, patience, delta), 0.25, least)
        np.testing.assert_allclose(rates, expected, rtol=1e-6)
