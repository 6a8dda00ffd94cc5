"""The weights after the epoch with the lowest training loss, beside the latest ones."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from resnet_jax.metrics.typed import Mean, Metric
from resnet_jax.training.core import TypedStep
from resnet_jax.training.epochs import EpochLoss, loss_dtype
from resnet_jax.training.state import TrainState
from resnet_jax.types import Batch


@struct.dataclass
class LowestState(TrainState):
    """A TrainState that also has the weights of the lowest training loss. Checkpoints hold all of it."""

    lowest: Any  # "params" and "batch_stats", the "step" and "loss" of their epoch, and the sums of the running "epoch"

    @property
    def selected(self) -> TrainState:
        """The state with the weights of the lowest training loss instead of the latest."""
        return replace(
            TrainState(**_plain_fields(self)), params=self.lowest["params"], batch_stats=self.lowest["batch_stats"]
        )

    @property
    def averaged(self) -> TrainState:
        """The plain state with the averaged weights; see `TrainState.averaged`."""
        return self.selected.averaged


def with_lowest(state: TrainState) -> LowestState:
    """`state`, which from here on keeps the weights of the lowest training loss."""
    # Copies: two fields must not share a buffer that is donated.
    lowest: dict[str, Any] = jax.tree.map(jnp.copy, state.variables)
    mean = jnp.full((), jnp.inf, loss_dtype(state.params))
    epoch = EpochLoss.zero(state.params)._asdict()
    lowest |= {"loss": mean, "step": jnp.zeros((), jnp.int32), "epoch": epoch}
    return LowestState(**_plain_fields(state), lowest=lowest)


def _plain_fields(state: TrainState) -> dict[str, Any]:
    return {field.name: getattr(state, field.name) for field in fields(TrainState)}


def keeping_lowest(step: TypedStep, steps_per_epoch: int) -> TypedStep:
    """`step`, for a `LowestState`: it keeps the weights and statistics after the epoch with the lowest mean loss.

    The mean is over the epoch's examples while its steps change the weights, as Keras's ModelCheckpoint has it. Of
    equal epochs the first one counts. Until an epoch with a finite loss ends, the latest weights are the lowest.
    """

    def with_epoch(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Metric]]:
        new, metrics = step(state, batch)
        loss = metrics["loss"]
        assert isinstance(loss, Mean) and isinstance(state, LowestState)
        old = state.lowest
        is_last = new.step % steps_per_epoch == 0
        epoch, mean = EpochLoss(**old["epoch"]).add(loss, is_last)
        is_lower = is_last & (mean < old["loss"])
        is_taken = is_lower | jnp.isinf(old["loss"])
        latest: dict[str, Any] = {**new.variables, "step": new.step}
        chosen = {
            name: jax.tree.map(lambda x, y: jnp.where(is_taken, x, y), latest[name], old[name]) for name in latest
        }
        chosen |= {"loss": jnp.where(is_lower, mean, old["loss"]), "epoch": epoch._asdict()}
        return LowestState(**_plain_fields(new), lowest=chosen), metrics

    return with_epoch
