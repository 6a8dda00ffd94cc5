"""Our variables as PyTorch state dicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict

from resnet_jax.errors import check_type, listed
from resnet_jax.files import expanded
from resnet_jax.models import create_model
from resnet_jax.types import Variables
from resnet_jax.weights.names import NETS, Names, has_net, tables
from resnet_jax.weights.pretrained import to_variables
from resnet_jax.weights.readers import write_safetensors


def save_torch_state(variables: Variables, name: str, path: str | Path, layout: str = "timm") -> None:
    """Writes a .safetensors file that PyTorch's net of this name loads strictly: `load_pretrained` backwards.

    Arrays keep their dtype. Reading the file again gives the very same ones, float64 with `dtype="float64"`.

    Args:
      variables: of `create_model(name)`, with a head of any number of classes, or none.
      layout: whose names the arrays get, "timm", "torchvision" or (CLIP's towers) "openai".

    Raises:
      ValueError: an unknown model or layout, another kind of file, or arrays that are not those of the net.
    """
    path = expanded(path)
    check_type(variables, Mapping, 'variables (a dict with "params")', "a TrainState has them in state.variables")
    if "params" not in variables:
        raise ValueError(f'expected variables with "params", got {listed(map(str, variables), 3) or "an empty dict"}')
    check_type(layout, str, "a layout (str)")
    if path.suffix != ".safetensors":
        raise ValueError(f"{path.name}: wanted a name that ends in .safetensors")
    flat = {key: np.asarray(value) for key, value in flatten_dict(variables).items()}
    model = create_model(name, num_classes=0)
    kernel = flat.get(("params", "head", "dense", "kernel"))
    model = model.clone(num_classes=0 if kernel is None else kernel.shape[-1])
    layouts = [known for known in tables(model) if has_net(known, name)]
    if layout not in layouts:
        if layout in NETS and layout in tables(model):
            raise ValueError(f"{layout} has no {name}; nothing there would give its numbers")
        valid = ", ".join(layouts) or f"none, as no library has {name}"
        raise ValueError(f"layout={layout!r}; of this net there are: {valid}")
    names, state = Names(model, layout), {}
    for key, value in flat.items():
        entry, how = names.entry(key)
        state[entry] = how.to_theirs(value)
        if key[-1] == "mean":
            state[f"{entry.removesuffix('running_mean')}num_batches_tracked"] = np.zeros((), np.int64)
    to_variables(state, model, names, allow_nonfinite=True)  # which lists what is missing or of another shape
    write_safetensors(state, path)
