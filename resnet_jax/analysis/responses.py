"""Layer responses: how strongly the layers of a net respond."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax.models.layers import BatchNorm
from resnet_jax.types import Array, Variables


def layer_responses(model: nn.Module, variables: Variables, images: Array) -> dict[str, float]:
    """Standard deviation of each convolution's output after its norm, before activation and addition.

    Keys are paths of norms in the order of the layers, shortcuts excluded. He et al. 2015, figure 7.

    Args:
      images: [N, H, W, C], normalised.
    """
    order: list[str] = []
    model = model.clone(remat="none")  # values inside nn.remat cannot be returned

    def responses(variables: Variables, images: Array) -> dict[str, Array]:
        deviations: dict[str, Array] = {}

        def watch(run: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            y = run(*args, **kwargs)
            norm = isinstance(context.module, BatchNorm) and context.method_name == "__call__"
            if norm and "shortcut" not in context.module.path:
                deviations["/".join(context.module.path)] = jnp.std(y.astype(jnp.float32))
            return y

        with nn.intercept_methods(watch):
            model.apply(variables, images, train=False)
        order[:] = deviations
        return deviations

    deviations = jax.device_get(jax.jit(responses)(variables, images))
    return {path: float(deviations[path]) for path in order}
