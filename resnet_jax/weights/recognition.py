"""Which registered net a state dict belongs to, by the names and shapes of its arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from resnet_jax.types import Variables
from resnet_jax.weights.convert import to_state
from resnet_jax.weights.names import Names, known_tables
from resnet_jax.weights.readers.weight_file import StoredArray

# {signature: {layout: names of nets}}; `PYTHONPATH=tests/helpers python tests/models/test_registry.py` writes it.
FILE = Path(__file__).with_name("signatures.json")


class Match(NamedTuple):
    names: tuple[str, ...]  # nets whose arrays have these names and shapes, the shortest name first
    layouts: tuple[str, ...]

    def __str__(self) -> str:
        others = f" (or {', '.join(self.names[1:4])}: same names and shapes)" if len(self.names) > 1 else ""
        article = "an" if self.names[0][0] in "aeiou" else "a"
        return f"{article} {self.names[0]}{others} with names of {' and '.join(self.layouts)}"


def signature(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A digest of the names and shapes in a state dict, without those of the classifier."""
    lines = sorted(
        f"{name} {list(shape)}"
        for name, shape in shapes.items()
        if name not in _classifiers() and not name.endswith("num_batches_tracked")
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def signature_for(variables: Variables, names: Names) -> str:
    """Signature of the state dict of these variables (arrays or shapes) in a library."""
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), variables)
    return signature({name: x.shape for name, x in to_state(zeros, names).items()})


def recognise(state: Mapping[str, np.ndarray | StoredArray]) -> Match | None:
    """The registered nets that this state dict fits, except for the number of classes; None if there are none."""
    for prefix in {table.prefix for _, table in known_tables()} - {""}:
        state = {name: x for name, x in state.items() if name.startswith(prefix)} or state
    layouts = _signatures().get(signature({name: x.shape for name, x in state.items()}))
    if layouts is None:
        return None
    names = {name for group in layouts.values() for name in group}
    return Match(tuple(sorted(names, key=lambda name: (len(name), name))), tuple(layouts))


@cache
def _classifiers() -> frozenset[str]:
    return frozenset(name for layout, table in known_tables() for name in Names(layout, table).classifier())


@cache
def _signatures() -> dict[str, dict[str, list[str]]]:
    return json.loads(FILE.read_text())
