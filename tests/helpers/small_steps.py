"""Small nets, batches and steps for the tests of training."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import recipe

from resnet_jax import Outputs, make_train_step
from resnet_jax.training import optim
from resnet_jax.training.state import TrainState

MODEL = recipe.small("cifar_resnet20", 1, 2, num_classes=10, dtype="float64", param_dtype="float64")
TX = optim.sgd(0.1, weight_decay=1e-4)


def batch(n, seed=0):
    rng = np.random.default_rng(seed)
    return {"image": rng.standard_normal((n, 8, 8, 3)), "label": rng.integers(0, 10, n).astype(np.int32)}


def fresh(model=MODEL, tx=TX):
    return TrainState.from_variables(recipe.variables(model, np.float64), tx, jax.random.key(0))


def close(a, b, tolerance=1e-10):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=tolerance), a, b)


class Linear(nn.Module):
    """Logits of the flattened image: small enough to differentiate by hand."""

    @nn.compact
    def __call__(self, images, *, train, example_index=None):
        return Outputs(nn.Dense(3, name="dense")(images.reshape(len(images), -1)), {})


def ordinary(**options):
    """State, step and batch of 8 for a small net without dropout."""
    model = recipe.small("cifar_resnet20", 1, 2, num_classes=7, in_channels=1)
    tx = optim.sgd(optim.warmup_cosine(peak_lr=0.1, steps=100, warmup_steps=2), momentum=0.9)
    variables = jax.tree.map(lambda x: jnp.asarray(x, float), recipe.variables(model))
    state = TrainState.from_variables(variables, tx, jax.random.key(0), ema=True)
    rng = np.random.default_rng(0)
    batch = {"image": rng.normal(size=(8, 8, 8, 1)), "label": np.arange(8) % 7}
    return state, jax.jit(make_train_step(model, tx, axis_name=None, **options)), batch
