"""The gradients that runs have recorded (`train.gradient_flow`), from their metrics.jsonl."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_jax.analysis.curves import read_records
from resnet_jax.models import sort_components

ACTIVATIONS, PARAMETERS = "activation_gradient/", "parameter_gradient/"  # what the records' names begin with


@dataclass(frozen=True, eq=False)
class Flow:
    """L2 norms of the mean loss's gradient along a net: float64 [records, parts] each, from the image on."""

    steps: np.ndarray  # int [records]
    outputs: tuple[str, ...]  # "stem", "stage1_block0", ...: whose outputs
    activations: np.ndarray  # by those
    parts: tuple[str, ...]  # the same, and "head": whose parameters
    parameters: np.ndarray


def read_flow(run: str | Path) -> Flow:
    """Raises what `read_curves` does, and ValueError where gradients were not recorded."""
    records = [record for record in read_records(Path(run)) if f"{PARAMETERS}head" in record]
    if not records:
        raise ValueError(f"{run} has no gradients by block; --train.gradient-flow records them")

    def columns(prefix: str) -> tuple[tuple[str, ...], np.ndarray]:
        parts = sort_components(name.removeprefix(prefix) for name in records[0] if name.startswith(prefix))
        return tuple(parts), np.array([[record[prefix + part] for part in parts] for record in records], np.float64)

    outputs, activations = columns(ACTIVATIONS)
    parts, parameters = columns(PARAMETERS)
    return Flow(np.array([record["step"] for record in records]), outputs, activations, parts, parameters)
