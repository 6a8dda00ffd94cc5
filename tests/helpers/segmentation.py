"""A segmenter's numbers on weights by the recipe: logits, losses and gradients, to compare with other libraries'."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax.models import get_spec, shapes
from resnet_jax.types import Variables
from resnet_jax.weights.convert import to_state, to_variables
from resnet_jax.weights.names import Names

IGNORED = 255


def example(size, classes=21):
    """Images [2, H, W, 3] and labels [2, H, W] of the golden files, the first five rows ignored."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 3, *size))
    labels = rng.integers(0, classes, (2, *size))
    labels[:, :5] = IGNORED
    return images, labels


def names_of(name) -> Names:
    """Names of the library whose net it is."""
    ((layout, table),) = get_spec(name).name_tables.items()
    return Names(layout, table)


def recipe_variables(model, name) -> Variables:
    """The recipe's arrays by the library's names, in float64."""
    names, like = names_of(name), shapes(model, 64).variables
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float64(0), x.shape), like)
    state = {key: recipe.array(key, x.shape) for key, x in to_state(zeros, names).items()}
    return to_variables(state, model, names)


def cross_entropy(logits, labels):
    """Mean over the pixels that are not ignored."""
    valid = labels != IGNORED
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.where(valid, labels, 0)[..., None], -1)[..., 0]
    return -jnp.sum(picked * valid) / jnp.sum(valid)


@partial(jax.jit, static_argnums=0)
def passes(model, variables, images, labels):
    """Outputs at inference, and in training the loss, the gradient and the updated statistics."""

    def loss(params):
        both = {**variables, "params": params}
        outputs, updated = model.apply(both, images, train=True, mutable=["batch_stats"])
        total = cross_entropy(outputs.logits, labels)
        if outputs.auxiliary is not None:
            total += 0.5 * cross_entropy(outputs.auxiliary, labels)
        return total, updated

    (total, updated), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    outputs = model.apply(variables, images, train=False)
    return outputs, total, gradient, updated


def numbers(model, name, size, classes=21):
    """What the golden files have of a net: logits NCHW, auxiliary logits, the loss and norms of the gradients."""
    images, labels = example(size, classes)
    variables = recipe_variables(model, name)
    outputs, loss, gradient, updated = passes(model, variables, jnp.asarray(images.transpose(0, 2, 3, 1)), labels)
    norms = {key: np.linalg.norm(x) for key, x in to_state({"params": gradient}, names_of(name)).items()}
    maps = {"out": outputs.logits, "aux": outputs.auxiliary}
    logits = {key: np.asarray(x).transpose(0, 3, 1, 2) for key, x in maps.items() if x is not None}
    stats = to_state(dict(updated), names_of(name))
    means = {key: x for key, x in stats.items() if key.endswith("running_mean")}
    return logits, float(loss), norms, means


def check_gradients(norms, golden_names, golden_norms):
    """Norms agree, up to rounding of those that are zero by mathematics; parameters without one have none."""
    least = np.median(golden_norms)
    for key, expected in zip(golden_names, golden_norms, strict=True):
        assert abs(norms[str(key)] - expected) <= 1e-8 * max(expected, least), key
    assert not any(norms[key] for key in norms.keys() - {str(key) for key in golden_names})


def parameters(model) -> int:
    return sum(x.size for x in flatten_dict(shapes(model, 64).variables["params"]).values())
