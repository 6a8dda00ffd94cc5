"""Our variables as files of PyTorch state dicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.errors import check_type, listed
from resnet_jax.files import expanded
from resnet_jax.models import create_model, get_spec
from resnet_jax.types import Variables
from resnet_jax.weights.convert import to_state, to_variables
from resnet_jax.weights.names import Names
from resnet_jax.weights.safetensors_file import write_safetensors


def save_torch_state(variables: Variables, name: str, path: str | Path, layout: str = "timm") -> None:
    """Writes a .safetensors file that PyTorch's net of this name loads strictly: `load_pretrained` backwards.

    Arrays keep their dtype. Reading the file again gives the same arrays; float64 with `dtype="float64"`.

    Args:
      variables: of `create_model(name)`, with a head of any number of classes, or none.
      layout: the library whose names the arrays get: "timm", "torchvision" or (CLIP's towers) "openai".

    Raises:
      ValueError: an unknown model or layout, another kind of file, or arrays that do not fit the net.
    """
    path = expanded(path)
    check_type(variables, Mapping, 'variables (a dict with "params")', "a TrainState has them in state.variables")
    if "params" not in variables:
        raise ValueError(f'expected variables with "params", got {listed(map(str, variables), 3) or "an empty dict"}')
    check_type(layout, str, "a layout (str)")
    if path.suffix != ".safetensors":
        raise ValueError(f"expected a file name that ends in .safetensors, got {path.name}")
    tables = get_spec(name).name_tables
    if not tables:
        raise ValueError(f"layout={layout!r}: no library has a net with the numbers of {name}")
    if layout not in tables:
        raise ValueError(f"layout: expected {' or '.join(tables)} for {name}, got {layout!r}")
    flat = {key: np.asarray(value) for key, value in flatten_dict(variables).items()}
    kernel = flat.get(("params", "head", "dense", "kernel"))
    model = create_model(name, num_classes=0 if kernel is None else kernel.shape[-1])
    names = Names(layout, tables[layout])
    state = to_state(unflatten_dict(flat), names)
    to_variables(state, model, names, allow_nonfinite=True)  # raises for missing arrays and other shapes
    counters = [names.entry(path)[0] for path in flat if path[-1] == "mean"]
    state |= {f"{key.removesuffix('running_mean')}num_batches_tracked": np.zeros((), np.int64) for key in counters}
    write_safetensors(state, path)
