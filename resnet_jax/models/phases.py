"""Phases of training, for nets that change on the way: soft gates first, then hard ones."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import flax.linen as nn


class Phase(NamedTuple):
    """A net, and the first step (1, 2, ...) that trains it."""

    first_step: int
    model: nn.Module


@runtime_checkable
class Gated(Protocol):
    """A net with gates, whose cost is a part of the loss and which may be soft at first."""

    def training_phases(self, *, gate_penalty: float, soft_gate_steps: int) -> tuple[Phase, ...]:
        """The nets of a run in order: one with soft gates for the first steps, if there are any, then the last one."""
        ...


def training_phases(model: nn.Module, *, gate_penalty: float = 0.0, soft_gate_steps: int = 0) -> tuple[Phase, ...]:
    """The nets of a run in order; a net without gates is the only one.

    Raises:
      ValueError: a penalty or soft gates for a net without gates.
    """
    if isinstance(model, Gated):
        return model.training_phases(gate_penalty=gate_penalty, soft_gate_steps=soft_gate_steps)
    if gate_penalty or soft_gate_steps:
        name = type(model).__name__
        raise ValueError(f"expected a net with gates for gate_penalty and soft_gate_steps, got {name}")
    return (Phase(1, model),)
