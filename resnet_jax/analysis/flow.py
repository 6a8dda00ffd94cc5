"""The gradients that runs have recorded (`train.gradient_flow`), from their metrics.jsonl."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_jax.models import in_order


@dataclass(frozen=True, eq=False)
class Flow:
    """L2 norms of the mean loss's gradient along a net: float64 [records, parts] each, from the image on."""

    steps: np.ndarray  # int [records]
    outputs: tuple[str, ...]  # "stem", "stage1_block0", ...: whose outputs
    activations: np.ndarray  # by those
    parts: tuple[str, ...]  # the same, and "head": whose parameters
    parameters: np.ndarray


def read_flow(run: str | Path) -> Flow:
    """Raises FileNotFoundError where there is no run, ValueError where its gradients were not recorded."""
    file = Path(run) / "metrics.jsonl"
    if not file.is_file():
        raise FileNotFoundError(f"no metrics.jsonl in {run}; wanted: the folder of a run")
    lines = [line for line in file.read_text().split("\n")[:-1] if line]
    records = [record for record in map(json.loads, lines) if record["split"] == "train"]
    records = [record for record in records if record.get("parameter_gradient/head") is not None]
    if not records:
        raise ValueError(f"{run} has no gradients by block; --train.gradient-flow records them")

    def columns(prefix: str) -> tuple[tuple[str, ...], np.ndarray]:
        parts = in_order(name.removeprefix(prefix) for name in records[0] if name.startswith(prefix))
        return tuple(parts), np.array([[record[prefix + part] for part in parts] for record in records], np.float64)

    outputs, activations = columns("activation_gradient/")
    parts, parameters = columns("parameter_gradient/")
    return Flow(np.array([record["step"] for record in records]), outputs, activations, parts, parameters)
