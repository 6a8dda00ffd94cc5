"""Checkpoints of training loops outside this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict

from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.errors import check_type, listed
from resnet_jax.files import expanded
from resnet_jax.models import create_model, shapes
from resnet_jax.training.state import TrainState
from resnet_jax.types import Preprocess


def save_checkpoint(
    folder: str | Path,
    state: TrainState,
    model: str,
    *,
    overrides: Mapping[str, Any] | None = None,
    preprocess: Preprocess,
    classes: Sequence[str],
) -> Path:
    """Writes `state` for `load_checkpoint(folder)` and returns the path of the checkpoint.

    The format is that of a run's checkpoints, checksums included. `state.step` numbers the checkpoint. Earlier
    checkpoints in the folder are kept.

    Args:
      folder: a run directory of your own; the checkpoint goes to `folder/checkpoints/STEP`.
      model: the name that the net was made from, `create_model(model, **overrides)`.
      overrides: the options of `create_model`, as JSON holds them (`dtype="bfloat16"`, not a dtype object).
      preprocess: how images become inputs of the net.
      classes: the names of the net's outputs, in their order.

    Raises:
      TypeError: no TrainState, or no Preprocess.
      ValueError: the state's arrays are not those of the net.
      RuntimeError: the folder has a checkpoint of this step, or a later one.
      SaveFailed: it could not be written.
    """
    check_type(state, TrainState, "a TrainState", "TrainState.from_variables(variables, tx, key) makes one")
    check_type(preprocess, Preprocess, "a Preprocess", "Preprocess(image_size, resize, mean, std)")
    options = dict(overrides or {})
    if differences := _differences(create_model(model, **options), state):
        raise ValueError(f"expected a state of {model} with {options}; other arrays: {listed(differences, 3)}")
    metadata = {
        "model": {"name": model, "overrides": options},
        "classes": list(classes),
        "preprocess": asdict(preprocess),
    }
    step = int(state.step)
    path = expanded(folder) / "checkpoints"
    with Checkpoints(path, keep_latest=2**31) as checkpoints:
        checkpoints.save(step, state, metadata)
    return path / str(step)


def _differences(net: Any, state: TrainState) -> list[str]:
    """Paths of arrays that the net and the state do not share in the same shape."""
    expected, actual = (
        {path: tuple(x.shape) for path, x in flatten_dict(dict(variables), sep="/").items()}
        for variables in (shapes(net, net.image_size).variables, state.variables)
    )
    return sorted(path for path in expected.keys() | actual.keys() if expected.get(path) != actual.get(path))
