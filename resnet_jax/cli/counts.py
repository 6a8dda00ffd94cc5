"""Counts of every registered net, read from counts.json without importing JAX.

`docs/tables.py` traces the nets and writes the file; tests compare it with them.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import NamedTuple


class Counts(NamedTuple):
    """Size of a net: parameters, and multiply-adds for one input of its published size."""

    name: str
    input_kind: str  # "images", "series", "waveform", "spectrogram", "tokens" or "image-text"
    input_size: list[int]  # along each spatial axis
    parameters: int
    macs: int
    other_macs: int  # multiply-adds that published counts exclude: `analysis.summary.ComponentSummary`


def read_counts() -> list[Counts]:
    """Every net, in the order of `list_models`."""
    text = files("resnet_jax.cli").joinpath("counts.json").read_text(encoding="utf-8")
    return [Counts(**row) for row in json.loads(text)]


def counts_text(rows: list[Counts]) -> str:
    """The text of counts.json, a line per net."""
    return "[\n" + ",\n".join(json.dumps(row._asdict()) for row in rows) + "\n]\n"
