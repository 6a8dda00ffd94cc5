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

from resnet_jax.errors import one_of
from resnet_jax.models import MODELS
from resnet_jax.types import Variables
from resnet_jax.weights.convert import to_state
from resnet_jax.weights.names import Names, known_tables, with_current_names
from resnet_jax.weights.readers.weight_file import StoredArray

# {signature: {layout: names of nets}}; `PYTHONPATH=tests/helpers python tests/models/test_registry.py` writes it.
FILE = Path(__file__).with_name("signatures.json")
# Nets of timm that are not registered, and have the names and shapes of one that is but give other numbers.
LOOKALIKES = frozenset(
    """efficientnet_blur_b0 efficientnet_cc_b0_4e efficientnet_cc_b0_8e efficientnet_cc_b1_8e resnetaa34d resnetaa101d
    resnetblur18 resnetblur50d resnetblur101d tf_efficientnet_lite0""".split()
)


class Match(NamedTuple):
    """Nets and libraries whose names and shapes a file has; the net is known if there is one."""

    names: tuple[str, ...]  # of different nets, the shortest first
    layouts: tuple[str, ...]
    equal_names: frozenset[str]  # these, and other names of the same nets

    def __str__(self) -> str:
        return f"{one_of(self.names)} ({', '.join(self.layouts)})"

    @property
    def advice(self) -> str:
        """The end of a message: what to pass."""
        return f"pass {one_of(f'model={name!r}' for name in self.names)}"


def signature(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A digest of the names and shapes in a state dict, for any number of classes and input channels."""
    classifiers, first = _flexible()
    lines = sorted(
        name if name in first else f"{name} {list(shape)}"
        for name, shape in shapes.items()
        if name not in classifiers and not name.endswith("num_batches_tracked")
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def signature_for(variables: Variables, names: Names) -> str:
    """Signature of the state dict of these variables (arrays or shapes) in a library."""
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), variables)
    return signature({name: x.shape for name, x in to_state(zeros, names).items()})


def recognise(state: Mapping[str, np.ndarray | StoredArray]) -> Match | None:
    """The registered nets that this state dict fits, with any classifier and input channels; None if there are none.

    An image tower beside arrays of something else is recognised, too; beside the text tower of a registered net it is
    that net.
    """
    whole = {name: x.shape for name, x in state.items()}
    inside = whole
    for prefix in {table.prefix for _, table in known_tables()} - {""}:
        inside = {name: shape for name, shape in inside.items() if name.startswith(prefix)} or inside
    tables = {(table.renames, table.ignored): table for _, table in known_tables()}  # one for each way to rename files
    signatures = (signature(with_current_names(x, table)) for x in (whole, inside) for table in tables.values())
    layouts = next((_signatures()[digest] for digest in signatures if digest in _signatures()), None)
    if layouts is None:
        return None
    names = sorted({name for group in layouts.values() for name in group}, key=_preference)
    different = {MODELS[name].build: name for name in reversed(names)}  # cifar_resnet20_a is cifar_resnet20
    return Match(tuple(name for name in names if name in different.values()), tuple(layouts), frozenset(names))


def _preference(name: str) -> tuple[bool, int, str]:
    """A net that is named after its backbone comes before one on any, a short name before a long one."""
    return MODELS[name].takes_backbone, len(name), name


def on_backbone(state: Mapping[str, np.ndarray | StoredArray], name: str) -> str | None:
    """The backbone, by name, of a segmenter or detector `name` with these arrays; None: it is not known.

    Of several nets with equal arrays it is the one with the shortest name, as "resnet50".
    """
    for layout, table in MODELS[name].name_tables.items():
        prefix = Names(layout, table).backbone_prefix()
        below = {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}
        if (match := recognise(below)) is not None and not MODELS[match.names[0]].is_dense:
            return match.names[0]
    return None


@cache
def _flexible() -> tuple[frozenset[str], frozenset[str]]:
    """Names of classifiers and optional arrays, and of first convolutions, in all libraries."""
    tables = [Names(layout, table) for layout, table in known_tables()]
    classifiers = frozenset(name for names in tables for name in (*names.classifiers(), *names.table.optional))
    return classifiers, frozenset(name for names in tables for name in names.first_convolutions())


@cache
def _signatures() -> dict[str, dict[str, list[str]]]:
    return json.loads(FILE.read_text())
