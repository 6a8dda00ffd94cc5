"""How strongly the layers of a net respond."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax.models.layers import BatchNorm
from resnet_jax.types import Array, Variables


def layer_responses(model: nn.Module, variables: Variables, images: Array) -> dict[str, float]:
    """The standard deviation of what each convolution gives after its norm, before activation and addition.

    By the norm's path, in the order of the layers; those of shortcuts are left out. He et al. 2015, figure 7.

    Args:
      images: [N, H, W, C], normalised.
    """
    order: list[str] = []
    model = model.clone(remat="none")  # whose values cannot be taken out

    def responses(variables: Variables, images: Array) -> dict[str, Array]:
        found: dict[str, Array] = {}

        def watch(run: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            y = run(*args, **kwargs)
            norm = isinstance(context.module, BatchNorm) and context.method_name == "__call__"
            if norm and "shortcut" not in context.module.path:
                found["/".join(context.module.path)] = jnp.std(y.astype(jnp.float32))
            return y

        with nn.intercept_methods(watch):
            model.apply(variables, images, train=False)
        order[:] = found
        return found

    found = jax.device_get(jax.jit(responses)(variables, images))
    return {path: float(found[path]) for path in order}
