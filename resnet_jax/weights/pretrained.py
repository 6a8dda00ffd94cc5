"""PyTorch state dicts into our variables, strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.files import expanded
from resnet_jax.models import MODELS, Shapes, create_model, natural, pieces, shapes
from resnet_jax.models.heads import AttentionPoolHead, NormHead
from resnet_jax.models.layers import BatchNorm, Dense
from resnet_jax.types import Preprocess, Pretrained, Variables, at_least_float32
from resnet_jax.weights.names import Names, has_net, tables
from resnet_jax.weights.readers import read_state

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # means and standard deviations of R, G, B in [0, 1]
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
# Torchvision's weights of these, and with them the norms' constants, are TensorFlow's; timm's are not.
FROM_TENSORFLOW = ("efficientnet_b5", "efficientnet_b6", "efficientnet_b7")
# Its crops and the shorter sides before them (first weights).
TORCHVISION_SIZES = {
    **{"efficientnet_b0": (224, 256), "efficientnet_b1": (240, 256), "efficientnet_b2": (288, 288)},
    **{"efficientnet_b3": (300, 320), "efficientnet_b4": (380, 384), "efficientnet_b5": (456, 456)},
    **{"efficientnet_b6": (528, 528), "efficientnet_b7": (600, 600)},
}
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def load_pretrained(
    source: str | Path, *, model: str | nn.Module | None = None, num_classes: int | None = None, dtype: Any = None
) -> Pretrained:
    """Reads a PyTorch checkpoint with torchvision's, timm's or (CLIP's image towers) OpenAI's names, without PyTorch.

    `preprocess` is that of torchvision's first weights, of CLIP's and of the EfficientNets' authors. timm's differ from
    file to file, in crop, mean and interpolation: its configuration says how.

    Args:
      source: a .safetensors file, or a .pth file as PyTorch writes them since 1.6.
      model: a name of `list_models()`, or a net. None: taken from the file's name, as in "resnet50-0676ba61".
      num_classes: of the returned net; None: those of the file, or of `model` where that is a net. Where the number
        differs from the file's, the head is new (0: there is none).
      dtype: of the net's arithmetic. Variables are at least float32; with float64 they keep a file's float64 values.

    Raises:
      FileNotFoundError: no such file.
      ValueError: an unknown model, or entries that are missing, unexpected or of another shape: all of them listed.
    """
    path = expanded(source)
    state = read_state(path)
    name = model if isinstance(model, str) else _file_model(path) if model is None else _registered(model)
    overrides = {} if dtype is None else {"dtype": dtype, "param_dtype": at_least_float32(dtype)}
    if isinstance(model, nn.Module):
        num_classes = model.num_classes if num_classes is None else num_classes
        model = model.clone(**overrides)
    else:
        model = create_model(name, **overrides)
    names = _names(model, state, name)
    if names.layout == "torchvision" and name in FROM_TENSORFLOW:
        model = model.clone(norm=partial(BatchNorm, epsilon=1e-3, decay=0.99))
    if names.layout == "openai":  # beside the text's tower
        state = {key: value for key, value in state.items() if key.startswith("visual.")}
    preprocess = _preprocess(model, name, names.layout)
    classifier, classes = _classifier(state, names)
    try:
        if num_classes is None or num_classes == classes:
            model = model.clone(num_classes=classes)
            return Pretrained(model, to_variables(state, model, names), preprocess, name)
        body = {key: value for key, value in state.items() if key not in classifier}
        variables = to_variables(body, model.clone(num_classes=0), names)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    model = model.clone(num_classes=num_classes)
    return Pretrained(model, _with_new_classifier(model, variables), preprocess, name)


def classes_of(source: str | Path, model: nn.Module) -> int:
    """How many classes the file's classifier has, for a net of this kind; 0: there is none. Raises as the others do."""
    state = read_state(expanded(source))
    return _classifier(state, _names(model, state, _registered(model)))[1]


def _classifier(state: Mapping[str, np.ndarray], names: Names) -> tuple[list[str], int]:
    """The names of the classifier's entries, and of how many classes it is."""
    entries = [names.entry(("params", "head", "dense", leaf))[0] for leaf in ("bias", "kernel")]
    biases = state.get(entries[0], np.zeros(0))
    return entries, len(biases) if biases.ndim else 0  # a number alone is told of with the other shapes


def to_variables(state: Mapping[str, np.ndarray], model: nn.Module, names: Names) -> Variables:
    """A state dict as the variables of `model`; every entry must match."""
    wanted = _shapes(model).variables
    dtype = np.dtype(at_least_float32(model.param_dtype))  # not the traced one, which is float32 without x64
    found: dict[tuple[str, ...], np.ndarray] = {}
    left = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    missing, misshapen = [], []
    for path, shape in flatten_dict(wanted).items():
        key, layout = names.entry(path)
        if key not in left:
            missing.append(key)
            continue
        value = layout.to_ours(left.pop(key), shape.shape)
        if value.shape != shape.shape:
            misshapen.append(f"{key} (as {list(value.shape)} for {list(shape.shape)})")
            continue
        found[path] = value.astype(dtype)
    problems = {"missing": missing, "unexpected": list(left), "of another shape": misshapen}
    if any(problems.values()):
        found_wrong = {kind: sorted(keys, key=natural) for kind, keys in problems.items() if keys}
        lists = "; ".join(f"{len(keys)} {kind}: {', '.join(keys)}" for kind, keys in found_wrong.items())
        raise ValueError(f"the weights do not fit the model: {lists}")
    return unflatten_dict(found)


def _shapes(model: nn.Module) -> Shapes:
    """In float32: names and shapes are the same, and a float64 trace would ask for x64."""
    return shapes(model.clone(dtype=jnp.float32, param_dtype=jnp.float32), model.image_size)


def _registered(model: nn.Module) -> str:
    """The name under which a net of these stages is registered, the most alike in its other fields; or its class's."""
    alike: dict[str, int] = {}
    for name, make in MODELS.items():
        known: Any = make()
        if known.stages == model.stages:
            alike[name] = sum(getattr(known, key) == getattr(model, key, None) for key in known.__dataclass_fields__)
    return max(alike, key=alike.__getitem__) if alike else type(model).__name__


def _file_model(path: Path) -> str:
    name = re.sub(r"_(rwightman|lukemelas)$", "", re.split(r"[-.]", path.name)[0])  # torchvision's EfficientNets
    if name not in MODELS:
        raise ValueError(f"cannot tell the model from {path.name!r}; say model=..., one of list_models()")
    return name


def _names(model: nn.Module, state: Mapping[str, np.ndarray], name: str) -> Names:
    """Of the layouts there are, the one that most of the file's entries are of.

    A library that has such nets, but not this one, is passed over: its files would give other numbers.
    """
    paths = flatten_dict(_shapes(model).variables)
    own = [layout for layout in tables(model) if has_net(layout, name)]
    found = [Names(model, layout) for layout in own or tables(model)]

    def fitting(names: Names) -> int:
        try:
            return sum(names.entry(path)[0] in state for path in paths)
        except ValueError:  # that library has no such net
            return -1

    return max(found, key=fitting)


def _preprocess(model: nn.Module, name: str, layout: str) -> Preprocess:
    size, has = model.image_size, set(pieces(model))
    if layout == "torchvision" and name in TORCHVISION_SIZES:
        size, resize = TORCHVISION_SIZES[name]
        return Preprocess(size, resize, *IMAGENET, interpolation="bicubic")
    if "efficientnet" in name:  # 32 pixels around the crop, as in the paper's code
        return Preprocess(size, size + 32, *(HALF if "_cc_" in name else IMAGENET), interpolation="bicubic")
    if AttentionPoolHead in has:
        return Preprocess(size, size, *OPENAI, interpolation="bicubic")
    if NormHead in has:
        return Preprocess(size, size, *HALF)
    return Preprocess(size, round(size / 0.875), *IMAGENET)


def _with_new_classifier(model: nn.Module, variables: Variables) -> Variables:
    if not model.num_classes:
        return variables
    pooled = _shapes(model).outputs.features["pool"]
    dense = Dense(model.num_classes).init(jax.random.key(0), jnp.zeros(pooled.shape, pooled.dtype))["params"]
    dense = jax.tree.map(lambda x: np.asarray(x, at_least_float32(model.param_dtype)), dense)
    head = variables["params"].get("head", {}) | {"dense": dense}
    return variables | {"params": variables["params"] | {"head": head}}
