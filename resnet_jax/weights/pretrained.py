"""PyTorch state dicts into our variables, strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.errors import NotFinite, WeightsMismatch, WrongModel, listed
from resnet_jax.files import expanded
from resnet_jax.models import MODELS, Shapes, as_model, create_model, natural, shapes
from resnet_jax.models.layers import BatchNorm, Dense
from resnet_jax.moved import renamed_names
from resnet_jax.types import Pretrained, Variables, at_least_float32, flaw
from resnet_jax.weights.names import Names, has_net, tables
from resnet_jax.weights.preprocessing import config_of, hub_config, preprocess_for
from resnet_jax.weights.readers import not_floating, read_state
from resnet_jax.weights.recognition import recognised

# Torchvision's weights of these, and with them the norms' constants, are TensorFlow's; timm's are not.
FROM_TENSORFLOW = ("efficientnet_b5", "efficientnet_b6", "efficientnet_b7")


def load_pretrained(
    source: str | Path,
    *,
    model: str | nn.Module | None = None,
    num_classes: int | None = None,
    dtype: Any = None,
    ema: bool | None = None,
    allow_nonfinite: bool = False,
) -> Pretrained:
    """Reads a PyTorch checkpoint with torchvision's, timm's or (CLIP's image towers) OpenAI's names, without PyTorch.

    `preprocess` is that of the file, if its name has the checksum of torchvision's weights or timm's `config.json` of
    this net lies beside it. Otherwise it is assumed to be that of the net's first published weights;
    `preprocess.source` says which. `classes` are those that this `config.json` names.

    Args:
      source: a .safetensors file, or a .pth file as PyTorch writes them since 1.6.
      model: a name of `list_models()`, or a net. None: taken from the file's name, as in "resnet50-0676ba61".
      num_classes: of the returned net; None: those of the file, or of `model` where that is a net. Where the number
        differs from the file's, the head is new (0: there is none).
      dtype: of the net's arithmetic. Variables are at least float32; with float64 they keep a file's float64 values.
      ema: take the averaged weights of a training checkpoint, or (False) the raw ones; None: those that it has.
      allow_nonfinite: load weights with NaN or infinite values and negative variances, too.

    Raises:
      FileNotFoundError: no such file.
      WrongModel: the file is of another registered net.
      ValueError: an unknown model; entries that are missing, unexpected or of another shape; arrays that are not
        floating point or not finite; raw and averaged weights without `ema`.
    """
    path = expanded(source)
    if model is not None:
        as_model(model)
    state = read_state(path, ema)
    config: Mapping[str, Any] = hub_config(path)
    name = (
        model
        if isinstance(model, str)
        else _file_model(path, config, state)
        if model is None
        else registered_name(model)
    )
    config = config_of(name, config)
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
    preprocess = preprocess_for(model, name, names.layout, path, config)
    classifier, classes = _classifier(state, names)
    try:
        if num_classes is None or num_classes == classes:
            model = model.clone(num_classes=classes)
            variables = to_variables(state, model, names, allow_nonfinite=allow_nonfinite)
            return Pretrained(model, variables, preprocess, name, _labels(config, classes))
        body = {key: value for key, value in state.items() if key not in classifier}
        variables = to_variables(body, model.clone(num_classes=0), names, allow_nonfinite=allow_nonfinite)
    except WeightsMismatch as error:
        match = recognised(state)
        if match is not None and name not in match.names:
            raise WrongModel(path.name, match) from None
        raise ValueError(f"{path.name}: {error}") from None
    except NotFinite as error:
        raise NotFinite(f"{path.name}: {error.problem}") from None
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    model = model.clone(num_classes=num_classes)
    return Pretrained(model, _with_new_classifier(model, variables), preprocess, name)


def _labels(config: Mapping[str, Any], classes: int) -> tuple[str, ...] | None:
    """The names of the classes in timm's configuration, if there are as many."""
    nested = config.get("pretrained_cfg")
    names = config.get("label_names") or (nested.get("label_names") if isinstance(nested, dict) else None)
    return tuple(map(str, names)) if isinstance(names, list) and len(names) == classes else None


def classes_of(source: str | Path, model: nn.Module, *, ema: bool | None = None) -> int:
    """How many classes the file's classifier has, for a net of this kind; 0: there is none. Raises as the others do."""
    state = read_state(expanded(source), ema)
    return _classifier(state, _names(model, state, registered_name(model)))[1]


def _classifier(state: Mapping[str, np.ndarray], names: Names) -> tuple[list[str], int]:
    """The names of the classifier's entries, and of how many classes it is."""
    entries = [names.entry(("params", "head", "dense", leaf))[0] for leaf in ("bias", "kernel")]
    biases = state.get(entries[0], np.zeros(0))
    return entries, len(biases) if biases.ndim else 0  # a number alone is told of with the other shapes


def to_variables(
    state: Mapping[str, np.ndarray], model: nn.Module, names: Names, *, allow_nonfinite: bool = False
) -> Variables:
    """A state dict as the variables of `model`; every entry must match.

    Raises:
      WeightsMismatch: some do not.
      NotFinite: values that are not finite, variances below 0.
      ValueError: arrays that are not floating point.
    """
    wanted = _shapes(model).variables
    dtype = np.dtype(at_least_float32(model.param_dtype))  # not the traced one, which is float32 without x64
    found: dict[tuple[str, ...], np.ndarray] = {}
    left = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    missing, misshapen, odd, broken = [], [], [], []
    for path, shape in flatten_dict(wanted).items():
        key, layout = names.entry(path)
        if key not in left:
            missing.append(key)
            continue
        value = left.pop(key)
        if not (np.issubdtype(value.dtype, np.floating) or value.dtype == jnp.bfloat16):
            odd.append(f"{key} ({value.dtype})")
            continue
        value = layout.to_ours(value, shape.shape)
        if value.shape != shape.shape:
            misshapen.append(f"{key} (as {list(value.shape)} for {list(shape.shape)})")
            continue
        with np.errstate(over="ignore"):  # what overflows is infinite, and listed
            found[path] = value.astype(dtype)
        if why := flaw(path[-1], found[path]):
            broken.append(f"{key} ({why})")
    problems = {"missing": missing, "unexpected": list(left), "of another shape": misshapen}
    if any(problems.values()):
        found_wrong = {kind: sorted(keys, key=natural) for kind, keys in problems.items() if keys}
        lists = "; ".join(f"{len(keys)} {kind}: {listed(keys)}" for kind, keys in found_wrong.items())
        raise WeightsMismatch(f"the weights do not fit the model: {lists}")
    if odd:
        raise ValueError(not_floating(odd))
    if broken and not allow_nonfinite:
        raise NotFinite(f"expected finite weights, got {listed(broken, 3)}")
    return unflatten_dict(found)


def _shapes(model: nn.Module) -> Shapes:
    """In float32: names and shapes are the same, and a float64 trace would ask for x64."""
    return shapes(model.clone(dtype=jnp.float32, param_dtype=jnp.float32), model.image_size)


def registered_name(model: nn.Module) -> str:
    """The name under which a net of these stages is registered, the most alike in its other fields; or its class's."""
    alike: dict[str, int] = {}
    for name, make in MODELS.items():
        known: Any = make()
        if known.stages == model.stages:
            alike[name] = sum(getattr(known, key) == getattr(model, key, None) for key in known.__dataclass_fields__)
    return max(alike, key=alike.__getitem__) if alike else type(model).__name__


def _file_model(path: Path, config: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> str:
    name = re.sub(r"_(rwightman|lukemelas)$", "", re.split(r"[-.]", path.name)[0])  # torchvision's EfficientNets
    if name in MODELS:
        return name
    if config.get("architecture") in MODELS:
        return str(config["architecture"])
    match = recognised(state)
    hint = f"it is {match}: pass model={match.names[0]!r}" if match else "pass model=..., one of list_models()"
    raise ValueError(f"cannot tell the model from the name {path.name!r}; {hint}")


def _names(model: nn.Module, state: Mapping[str, np.ndarray], name: str) -> Names:
    """The layout that most of the file's entries have.

    A library that has such nets, but not this one, is skipped: its files would give other numbers. For a net that is
    not registered every layout of its kind is tried.
    """
    paths = flatten_dict(_shapes(model).variables)
    layouts = [layout for layout in tables(model) if name in MODELS and has_net(layout, name)]
    candidates = [Names(model, layout) for layout in layouts or tables(model)]

    def fitting(names: Names) -> int:
        try:
            return sum(names.entry(path)[0] in state for path in paths)
        except ValueError:  # that library has no such net
            return -1

    return max(candidates, key=fitting)


def _with_new_classifier(model: nn.Module, variables: Variables) -> Variables:
    if not model.num_classes:
        return variables
    pooled = _shapes(model).outputs.features["pool"]
    dense = Dense(model.num_classes).init(jax.random.key(0), jnp.zeros(pooled.shape, pooled.dtype))["params"]
    dense = jax.tree.map(lambda x: np.asarray(x, at_least_float32(model.param_dtype)), dense)
    head = variables["params"].get("head", {}) | {"dense": dense}
    return variables | {"params": variables["params"] | {"head": head}}


if not TYPE_CHECKING:  # names of version 0.1.0
    __getattr__ = renamed_names(__name__, {"Misfit": "errors.WeightsMismatch"})
