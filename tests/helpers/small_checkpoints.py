"""States of a small net whose arrays tell their step, for tests of checkpoints."""

import jax
import numpy as np
import recipe

from resnet_jax import create_model
from resnet_jax.training import optim
from resnet_jax.training.state import TrainState

OVERRIDES = {"num_classes": 3, "in_channels": 1, "dtype": "float32"}
MODEL = create_model("cifar_resnet8", **OVERRIDES)
META = {
    "model": {"name": "cifar_resnet8", "overrides": OVERRIDES},
    "preprocess": {"image_size": 8, "resize": 8, "mean": [0.5], "std": [0.25], "interpolation": "bilinear"},
    "classes": ["a", "b", "c"],
}
TX = optim.sgd(optim.warmup_cosine(peak_lr=0.1, steps=10, warmup_steps=2), weight_decay=1e-4)


def state(step=0):
    variables = jax.tree.map(lambda x: x + step, recipe.variables(MODEL))
    fresh = TrainState.from_variables(variables, TX, jax.random.key(step))
    return fresh.replace(step=np.int32(step))


def recipe_variables(step):
    return jax.tree.map(lambda x: np.asarray(x) + step, recipe.variables(MODEL))
