"""Arrays in Keras's HDF5 files by layer and variable, as "conv1_conv/kernel", in both of Keras's layouts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from resnet_jax.weights.readers import StoredArray, WeightFile

# Layers of one class in a .weights.h5 file are numbered; an attribute beside the variables has the layer's name.
NUMBERED = re.compile(r"layers/(?P<kind>[a-z0-9_]+?)(_\d+)?/vars/(?P<number>\d+)")
VARIABLES = {"batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance")}
OTHERS = ("kernel", "bias")  # of convolutions and dense layers
RENAMED = {"probs": "predictions"}  # the classifier in files of 2019


def by_layer(file: WeightFile) -> WeightFile:
    """The file with its arrays by layer and variable, without the state of the optimiser; others as they are.

    A .h5 file has "conv1_conv/conv1_conv/kernel:0", a whole model "model_weights" before that.
    """
    if file.format != "hdf5":
        return file
    stored = {name: x for name, x in file.tensors.items() if not name.startswith(("optimizer/", "optimizer_weights/"))}
    arrays: dict[str, StoredArray] = {}
    for name, array in stored.items():
        layer, variable = _place(name, file.metadata)
        arrays[f"{RENAMED.get(layer, layer)}/{variable}"] = array
    return replace(file, tensors=arrays if len(arrays) == len(stored) else stored)


def _place(name: str, metadata: Mapping[str, str]) -> tuple[str, str]:
    """Layer and variable of an array."""
    if match := NUMBERED.fullmatch(name):
        variables, number = VARIABLES.get(match["kind"], OTHERS), int(match["number"])
        layer = metadata.get(f"{name.rpartition('/')[0]}/name")
        if layer is not None and number < len(variables):
            return layer, variables[number]
    layer, _, variable = name.removesuffix(":0").rpartition("/")
    return layer.rpartition("/")[2], variable
