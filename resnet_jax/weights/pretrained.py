"""Files of PyTorch weights as nets with their variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from resnet_jax.errors import NotFinite, WeightsMismatch, WrongModel
from resnet_jax.files import expanded
from resnet_jax.models import MODELS, ModelSpec, as_model, create_model, get_spec, registered_name
from resnet_jax.models.layers import Dense
from resnet_jax.moved import renamed_names
from resnet_jax.types import Pretrained, Variables, at_least_float32
from resnet_jax.weights.convert import float32_shapes, shared_prefix, to_variables
from resnet_jax.weights.hub_config import config_for, read_hub_config
from resnet_jax.weights.names import Names, names_for
from resnet_jax.weights.preprocessing import preprocess_for
from resnet_jax.weights.published import class_names
from resnet_jax.weights.readers import read_state
from resnet_jax.weights.recognition import recognise


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

    `preprocess` comes from the file, if its name has the checksum of torchvision's weights or timm's `config.json` of
    this net lies beside it. Otherwise it is assumed to be that of the net's first published weights;
    `preprocess.source` says which. `classes` are the class names in this `config.json`, or those of the published
    weights that the checksum or the tag in `config.json` names.

    Args:
      source: a .safetensors file, or a .pth file as PyTorch writes them since 1.6.
      model: a name of `list_models()`, or a net. None: taken from the file's name, as in "resnet50-0676ba61".
      num_classes: of the returned net; None: as the file, or as `model` where that is a net. If the number differs
        from the file's, the head is new (0: no head).
      dtype: of the net's arithmetic. Variables are at least float32; with float64 they keep a file's float64 values.
      ema: True loads the averaged weights of a training checkpoint, False the raw ones, None the only ones.
      allow_nonfinite: also load weights with NaN or infinite values and negative variances.

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
    config: Mapping[str, Any] = read_hub_config(path)
    if model is None:
        model = _model_of_file(path, config, state)
    overrides = {} if dtype is None else {"dtype": dtype, "param_dtype": at_least_float32(dtype)}
    if isinstance(model, nn.Module):
        num_classes = model.num_classes if num_classes is None else num_classes
        net = model.clone(**overrides)
    else:
        net = create_model(model, **overrides)
    spec, name = _row(net)
    names = _names(net, spec, state)
    net = net.clone(**names.table.overrides)
    config = config_for(name, config)
    preprocess = preprocess_for(net, spec, name, names.layout, path, config)
    bias, kernel = names.classifier()
    classes = _class_count(state, bias)
    if num_classes is None or num_classes == classes:
        net = net.clone(num_classes=classes)
        with _errors_with_file(path, state, name):
            variables = _variables(state, net, names, allow_nonfinite)
        return Pretrained(net, variables, preprocess, name, class_names(spec, path, config, classes))
    body = {key: value for key, value in state.items() if key not in (bias, kernel)}
    with _errors_with_file(path, state, name):
        variables = _variables(body, net.clone(num_classes=0), names, allow_nonfinite)
    net = net.clone(num_classes=num_classes)
    return Pretrained(net, _with_new_classifier(net, variables), preprocess, name)


def classes_of(source: str | Path, model: nn.Module, *, ema: bool | None = None) -> int:
    """Number of classes of the file's classifier, for a net of this kind; 0: no classifier. Raises as `read_state`."""
    state = read_state(expanded(source), ema)
    return _class_count(state, _names(model, _row(model)[0], state).classifier()[0])


@contextmanager
def _errors_with_file(path: Path, state: Mapping[str, np.ndarray], name: str) -> Iterator[None]:
    """Puts the file's name before messages; a mismatch becomes `WrongModel` if the file fits another registered net."""
    try:
        yield
    except WeightsMismatch as error:
        match = recognise(state)
        if match is not None and name not in match.names:
            raise WrongModel(path.name, match) from None
        raise ValueError(f"{path.name}: {error}") from None
    except NotFinite as error:
        raise NotFinite(f"{path.name}: {error.problem}") from None
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _row(model: nn.Module) -> tuple[ModelSpec | None, str]:
    """The net's row and name in the registry; None and the name of its class for a net that is not registered."""
    name = registered_name(model)
    return (None, type(model).__name__) if name is None else (get_spec(name), name)


def _model_of_file(path: Path, config: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> str:
    name = re.sub(r"_(rwightman|lukemelas)$", "", re.split(r"[-.]", path.name)[0])  # torchvision's EfficientNets
    if name in MODELS:
        return name
    if config.get("architecture") in MODELS:
        return str(config["architecture"])
    match, prefix = recognise(state), shared_prefix(state)
    if match is not None:
        hint = f"it is {match}: pass model={match.names[0]!r}"
    else:
        hint = "pass model=..., one of list_models()"
        hint += f"; all names in the file begin with {prefix!r}" if prefix else ""
    raise ValueError(f"cannot tell the model from the name {path.name!r}; {hint}")


def _names(model: nn.Module, spec: ModelSpec | None, state: Mapping[str, np.ndarray]) -> Names:
    """The names that most of the file's entries have."""
    paths = flatten_dict(float32_shapes(model).variables)

    def count_matches(names: Names) -> int:
        try:
            return sum(names.entry(path)[0] in state for path in paths)
        except ValueError:  # that library has no such net
            return -1

    return max(names_for(spec), key=count_matches)


def _class_count(state: Mapping[str, np.ndarray], bias: str) -> int:
    values = state.get(bias, np.zeros(0))
    return len(values) if values.ndim else 0  # a scalar is reported with the other misfits


def _variables(state: Mapping[str, np.ndarray], model: nn.Module, names: Names, allow_nonfinite: bool) -> Variables:
    state = {key: value for key, value in state.items() if key.startswith(names.table.prefix)}
    return to_variables(state, model, names, allow_nonfinite=allow_nonfinite)


def _with_new_classifier(model: nn.Module, variables: Variables) -> Variables:
    if not model.num_classes:
        return variables
    pooled = float32_shapes(model).outputs.features["pool"]
    dense = Dense(model.num_classes).init(jax.random.key(0), jnp.zeros(pooled.shape, pooled.dtype))["params"]
    dense = jax.tree.map(lambda x: np.asarray(x, at_least_float32(model.param_dtype)), dense)
    head = variables["params"].get("head", {}) | {"dense": dense}
    return variables | {"params": variables["params"] | {"head": head}}


if not TYPE_CHECKING:  # names of version 0.1.0
    __getattr__ = renamed_names(__name__, {"Misfit": "errors.WeightsMismatch"})
