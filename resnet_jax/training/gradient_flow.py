"""Gradient norms along a net: by the outputs of its blocks, and by their parameters.

They cost no further backward pass: each block's output goes through an identity with an unused scalar input, whose
"gradient" is the sum of squares of the output's gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from resnet_jax.metrics.typed import Metric
from resnet_jax.training.core import Gradient, Gradients, MeanGradient, Totals, differentiate
from resnet_jax.training.metrics import example_count, over_examples
from resnet_jax.training.state import TrainState
from resnet_jax.types import Array, Batch, at_least_float32

ACTIVATIONS, PARAMETERS = "activation_gradient/", "parameter_gradient/"


def taps(params: Mapping[str, Any]) -> dict[str, Array]:
    """An unused scalar for the stem and each block, to differentiate by: [] each."""
    dtype = at_least_float32(jax.tree.leaves(params)[0].dtype)
    return {f"{ACTIVATIONS}{part}": jnp.zeros((), dtype) for part in params if part == "stem" or "_block" in part}


def tapped(tokens: Mapping[str, Array]) -> Callable[..., Any]:
    """An interceptor of `flax.linen`: the gradient by each token is the sum of squares of its block's gradient."""

    def call(run: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        outputs, path = run(*args, **kwargs), context.module.path
        token = tokens.get(f"{ACTIVATIONS}{path[0]}") if len(path) == 1 and context.method_name == "__call__" else None
        if token is None:
            return outputs
        if not isinstance(outputs, tuple):
            return _tap(outputs, token)
        # A stem returns its feature and the blocks' input, a block with a carry its map and the carry.
        at = -1 if path == ("stem",) else 0
        several = list(outputs)
        several[at] = _tap(several[at], token)
        return tuple(several)

    return call


@jax.custom_vjp
def _tap(x: Array, token: Array) -> Array:
    return x


def _forward(x: Array, token: Array) -> tuple[Array, Array]:
    return x, token


def _backward(token: Array, gradient: Array) -> tuple[Array, Array]:
    return gradient, jnp.sum(jnp.square(gradient.astype(token.dtype)))


_tap.defvjp(_forward, _backward)


def with_activations(totals: Totals) -> Gradient:
    """The gradient of `totals` by the parameters, and the sums of squares of that by the blocks' outputs.

    Raises:
      ValueError: when traced, terms of several weights: squares of their gradients do not add up.
    """

    def gradient(params: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]) -> Gradients:
        def watched(both: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]) -> Any:
            with nn.intercept_methods(tapped(both[1])):
                return totals(both[0], batch_stats, batch, rngs)

        by_term, aux = differentiate(watched)((params, taps(params)), batch_stats, batch, rngs)
        if len(by_term) > 1:
            names = ", ".join(name or "the mean over examples" for name in by_term)
            raise ValueError(f"gradient_flow: expected terms of one weight, got {len(by_term)}: {names}")
        ((name, (by_params, squares)),) = by_term.items()
        return Gradients({name: by_params}, aux._replace(squares=squares))

    return gradient


def with_norms(gradient: MeanGradient) -> MeanGradient:
    """`gradient`, whose metrics have the L2 norms of the mean gradient by the blocks' outputs and parameters."""

    def measured(state: TrainState, batch: Batch, rngs: dict[str, Array]) -> tuple[Any, Any, dict[str, Metric]]:
        mean, batch_stats, metrics = gradient(state, batch, rngs)
        norms = {name: over_examples(norm, example_count(metrics)) for name, norm in gradient_norms(mean).items()}
        return mean, batch_stats, {**metrics, **norms}

    return measured


def gradient_norms(gradient: Mapping[str, Any]) -> dict[str, Array]:
    """L2 norms by component of the net: "parameter_gradient/stem", ..."""
    return {f"{PARAMETERS}{component}": optax.tree.norm(tree) for component, tree in gradient.items()}
