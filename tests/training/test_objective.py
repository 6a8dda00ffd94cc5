"""The training step refuses invalid objectives when it is traced."""

from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax import TrainState
from resnet_jax.metrics.typed import Mean, Sum
from resnet_jax.tasks import Term
from resnet_jax.training.step import make_step

BATCH = {"image": np.ones((4, 2, 2, 1), np.float32), "label": np.zeros(4, np.int32), "mask": np.ones(4, np.float32)}


class Linear(nn.Module):
    @nn.compact
    def __call__(self, x, train=False, example_index=None):
        return SimpleNamespace(logits=nn.Dense(1)(x.reshape(len(x), -1))[:, 0])


def trace(terms, metrics, **options):
    """Shapes of a step's results, for an objective with terms {name: has a weight of its own}."""

    def objective(outputs, batch, axis_name):
        total = Mean.of(outputs.logits, batch["mask"]).total
        return {name: Term(total, jnp.sum(batch["mask"]) if own else None) for name, own in terms.items()}, metrics

    step = make_step(Linear(), optax.sgd(0.1), objective, axis_name=None, **options)
    state = TrainState.create(Linear(), optax.sgd(0.1), jax.random.key(0), BATCH["image"])
    return jax.eval_shape(step, state, BATCH)[1]


@pytest.mark.parametrize("name", ["count", "loss", "grad_norm", "skipped", "learning_rate", "box"])
def test_a_reserved_name_of_a_metric_is_refused(name):
    with pytest.raises(ValueError, match=f"expected another name for the metric '{name}': it is"):
        trace({"box": False}, {name: Sum(jnp.ones(()))})


def test_one_of_several_terms_is_not_called_loss_and_none_count():
    with pytest.raises(ValueError, match="another name for the term 'loss': it is the sum of all terms"):
        trace({"loss": False, "box": False}, {})
    with pytest.raises(ValueError, match="another name for the term 'count': it is reserved"):
        trace({"count": False}, {})
    assert {"loss", "box", "class", "count"} <= trace({"box": False, "class": True}, {}).keys()
    assert "loss" in trace({"loss": True}, {})


def test_an_objective_without_terms_is_refused():
    with pytest.raises(ValueError, match="expected an objective with at least one term, or a net that sows losses"):
        trace({}, {})


def test_gradient_flow_takes_terms_of_one_weight():
    with pytest.raises(ValueError, match="expected terms of one weight, got 2: the mean over examples, b"):
        trace({"a": False, "b": True}, {}, gradient_flow=True)


@pytest.mark.parametrize(
    "result, message",
    [
        (None, r"returns \(terms, metrics\), two dicts, got NoneType"),
        (({"loss": jnp.ones(())}, {}), r"expected a Term\(total, weight\) for the term 'loss'"),
        (({"loss": Term(jnp.ones(4))}, {}), r"one number for the total of the term 'loss', got an array \[4\]"),
        (({"loss": Term(jnp.ones(()), 2.0)}, {}), "an array for the weight of the term 'loss', got float 2.0"),
        (({"loss": Term(jnp.ones(()))}, {"error": jnp.ones(())}), "a Mean, Sum or Last for the metric 'error'"),
        (({"": Term(jnp.ones(()))}, {}), "names of terms and metrics as text, not empty, got ''"),
    ],
)
def test_what_is_no_terms_and_metrics_is_refused(result, message):
    step = make_step(Linear(), optax.sgd(0.1), lambda *_: result, axis_name=None)
    state = TrainState.create(Linear(), optax.sgd(0.1), jax.random.key(0), BATCH["image"])
    with pytest.raises((TypeError, ValueError), match=message):
        jax.eval_shape(step, state, BATCH)


def test_a_metric_that_a_module_sows_too_is_refused():
    class Sowing(Linear):
        @nn.compact
        def __call__(self, x, train=False, example_index=None):
            self.sow("metrics", "error", x.mean((1, 2, 3)))
            return super().__call__(x)

    def objective(outputs, batch, axis_name):
        mean = Mean.of(outputs.logits, batch["mask"])
        return {"loss": Term(mean.total)}, {"error": mean}

    state = TrainState.create(Sowing(), optax.sgd(0.1), jax.random.key(0), BATCH["image"])
    step = make_step(Sowing(), optax.sgd(0.1), objective, axis_name=None)
    with pytest.raises(ValueError, match="another name for the metric 'error': a module of the net sows it"):
        jax.eval_shape(step, state, BATCH)
