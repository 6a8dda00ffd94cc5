"""A folder of weights as the hub lays it out, for tests."""

import json

import numpy as np
import recipe
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from resnet_jax import create_model, save_torch_state

SIZE = 32


def write_hub_folder(folder, classes=("cat", "dog", "owl"), model="cifar_resnet8", layout=None, **config):
    """Recipe weights with timm's config.json, under a library's names or (None) our own; returns the variables."""
    folder.mkdir(parents=True)
    variables = recipe.variables(create_model(model, num_classes=len(classes)))
    if layout is None:
        arrays = {name: np.ascontiguousarray(x) for name, x in flatten_dict(variables, sep="/").items()}
        save_file(arrays, folder / "model.safetensors")
    else:
        save_torch_state(variables, model, folder / "model.safetensors", layout=layout)
    preprocess = {"input_size": [3, SIZE, SIZE], "crop_pct": 0.8, "interpolation": "bicubic"}
    preprocess |= {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    record = {"architecture": model, "num_classes": len(classes), "label_names": list(classes)}
    (folder / "config.json").write_text(json.dumps({**record, "pretrained_cfg": preprocess, **config}))
    return variables
