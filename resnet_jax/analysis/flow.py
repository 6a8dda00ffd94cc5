"""Reads the gradient norms that a run with `train.gradient_flow` records in metrics.jsonl."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_jax.analysis.curves import read_records
from resnet_jax.models import sort_components

ACTIVATIONS, PARAMETERS = "activation_gradient/", "parameter_gradient/"  # prefixes of the names in records


@dataclass(frozen=True, eq=False)
class Flow:
    """L2 norms of the gradient of the mean loss along a net, from input to output: float64 [records, parts] each."""

    steps: np.ndarray  # int [records]
    outputs: tuple[str, ...]  # "stem", "stage1_block0", ...: columns of `activations`
    activations: np.ndarray  # gradient with respect to these outputs
    parts: tuple[str, ...]  # the same and "head": columns of `parameters`
    parameters: np.ndarray  # gradient with respect to the parameters


def read_flow(run: str | Path) -> Flow:
    """Gradient norms of a run. Raises the errors of `read_curves`, and ValueError if none were recorded."""
    records = [record for record in read_records(Path(run)) if f"{PARAMETERS}head" in record]
    if not records:
        raise ValueError(f"{run} has no gradients by block; train with --train.gradient-flow to record them")

    def columns(prefix: str) -> tuple[tuple[str, ...], np.ndarray]:
        parts = sort_components(name.removeprefix(prefix) for name in records[0] if name.startswith(prefix))
        return tuple(parts), np.array([[record[prefix + part] for part in parts] for record in records], np.float64)

    outputs, activations = columns(ACTIVATIONS)
    parts, parameters = columns(PARAMETERS)
    return Flow(np.array([record["step"] for record in records]), outputs, activations, parts, parameters)
