"""Weights from names and shapes, as tests/golden/README.md says, and nets shared between tests."""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.models import create_model, shapes

GOLDEN = Path(__file__).parents[1] / "golden"


def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return 0.5 + rng.random(shape)
    if name.endswith("running_mean"):
        return 0.1 * rng.standard_normal(shape)
    if name.endswith("bias"):
        return 0.1 * rng.standard_normal(shape)
    if len(shape) <= 1:
        return 0.5 + rng.random(shape)
    return rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))


def torch_state(model: str, library: str = "torchvision") -> dict[str, np.ndarray]:
    """The recipe's state dict of a library's model, in float64."""
    keys = json.loads((GOLDEN / library / f"{library}-{model}.keys.json").read_text())
    state = {name: np.asarray(array(name, shape)) for name, shape in keys if not name.endswith("num_batches_tracked")}
    counters = {name: np.zeros((), np.int64) for name, _ in keys if name.endswith("num_batches_tracked")}
    return state | counters


def float32_state(model: str, library: str = "torchvision") -> dict[str, np.ndarray]:
    """`torch_state` with weights in float32."""
    return {name: x.astype(np.float32 if x.ndim else x.dtype) for name, x in torch_state(model, library).items()}


def variables(model, dtype=np.float32):
    """Recipe weights for any registered net, from its own names."""
    expected = shapes(model, model.image_size).variables

    def sample(path, shape):
        leaf = {"mean": "running_mean", "var": "running_var"}.get(path[-1], path[-1])
        fan = (*shape.shape[::-1],)  # the recipe's fan is what follows the output channels
        return array("/".join((*path[:-1], leaf)), fan).transpose().astype(dtype)

    return unflatten_dict({path: sample(path, shape) for path, shape in flatten_dict(expected).items()})


@cache
def small(name: str, blocks: int = 2, stages: int | None = None, **overrides):
    """The net `name` with `blocks` blocks a stage, and the first `stages`: the same components, far less work."""
    model = create_model(name, **overrides)
    return model.clone(stages=tuple(replace(stage, depth=blocks) for stage in model.stages[:stages]))


def atoms(value):
    """Classes and functions inside a partial, and the switches they are called with: what makes nets differ in kind."""
    if isinstance(value, partial):
        switches = {(value.func, *item) for item in value.keywords.items() if isinstance(item[1], bool)}
        return atoms(value.func).union(switches, *map(atoms, value.keywords.values()))
    return {value} if callable(value) else set()


def atoms_of_net(model):
    """`atoms` of all components of a net."""
    blocks = (stage.block for stage in model.stages)
    return set().union(*map(atoms, (model.stem, model.head, model.conv, model.norm, model.act, *blocks)))


def weighted_layers(model) -> int:
    """Convolutions and dense layers on the way through the branches, as papers count the layers of a net."""
    kernels = [path for path in flatten_dict(shapes(model, 32).variables["params"]) if path[-1] == "kernel"]
    return sum(not {"shortcut", "combine", "gate", "attend"} & set(path) for path in kernels)
