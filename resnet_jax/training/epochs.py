"""The training loss of each epoch, inside the training step: what is decided by it needs no test and no host."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from resnet_jax.metrics.typed import Mean
from resnet_jax.types import Array, at_least_float32


class EpochLoss(NamedTuple):
    """Sums over the steps of an epoch that have been made."""

    total: Array  # float []: of the losses of all examples
    examples: Array  # float []: their number

    @classmethod
    def zero(cls, params: Any) -> EpochLoss:
        """The sums before the first step, in the precision that losses of these parameters have."""
        dtype = loss_dtype(params)
        return cls(jnp.zeros((), dtype), jnp.zeros((), dtype))

    def add(self, loss: Mean, is_last: Array) -> tuple[EpochLoss, Array]:
        """The sums with one more step, 0 again after the last one of an epoch; and their mean.

        The mean is over the epoch's examples while its steps change the weights, as in the records. Skipped steps add
        nothing. The mean of no examples is infinite.
        """
        total = self.total + loss.total.astype(self.total.dtype)
        examples = self.examples + loss.count.astype(self.examples.dtype)
        mean = jnp.where(examples > 0, total / jnp.where(examples > 0, examples, 1), jnp.inf)
        return EpochLoss(jnp.where(is_last, 0, total), jnp.where(is_last, 0, examples)), mean


def loss_dtype(params: Any) -> Any:
    """float32, or float64 for parameters of that type."""
    return at_least_float32(optax.tree.dtype(params, "highest"))
