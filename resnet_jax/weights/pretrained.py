"""Weights from any source as nets with their variables."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from resnet_jax.errors import NotFinite, UnreadableWeights, WeightsMismatch, WrongModel, listed
from resnet_jax.models import MODELS, ModelSpec, as_model, create_model, get_spec, registered_name
from resnet_jax.models.layers import Dense
from resnet_jax.types import Pretrained, Variables, at_least_float32
from resnet_jax.weights.convert import float32_shapes, to_variables
from resnet_jax.weights.hub_config import config_for, read_hub_config
from resnet_jax.weights.names import Names, names_for
from resnet_jax.weights.preprocessing import preprocess_for
from resnet_jax.weights.published import by_checksum, class_names
from resnet_jax.weights.readers import StoredArray, WeightFile, read_weights
from resnet_jax.weights.recognition import recognise
from resnet_jax.weights.sources import resolve
from resnet_jax.weights.wrappers import unwrap

State = Mapping[str, StoredArray]


def load_pretrained(
    source: str | Path,
    *,
    model: str | nn.Module | None = None,
    num_classes: int | None = None,
    dtype: Any = None,
    ema: bool | None = None,
    allow_nonfinite: bool = False,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Pretrained:
    """A net with trained variables, read without PyTorch: from a file, a run, or published weights by name.

    Files have torchvision's, timm's, (CLIP's image towers) OpenAI's or our own names. Keys and prefixes around the
    net's arrays ("state_dict", "module.", "backbone.") are seen through. Arrays of something else in the file, such as
    a projection head, are not read, and a warning lists them; `notes` has both.

    `preprocess` is that of the published weights which the source, or the checksum in the file's name, names; otherwise
    that of timm's `config.json` of this net beside the file. Else it is assumed to be that of the net's first published
    weights; `preprocess.source` says which. `classes` are the class names in this `config.json`, or those of the
    published weights that the source, the checksum or the tag in `config.json` names.

    Args:
      source: a file of safetensors, of PyTorch (also before 1.6, and TorchScript), of NumPy (.npz, or pickled arrays in
        dicts) or of Keras (.h5), an index of several files, a folder with one of the hub's file names; or the directory
        of a run, its `checkpoints` or a step in that, of which the latest is read (`load_checkpoint` reads others).
        If nothing of this name is on this machine: "torchvision/NAME.TAG", as `resnet-jax weights` lists them, or the
        HTTP(S) address of a file, which are downloaded to `cache_dir`; "timm/NAME.TAG" or another repository of the
        Hugging Face hub, "ORGANISATION/NAME" or "ORGANISATION/NAME@REVISION", which huggingface_hub downloads.
      model: a name of `list_models()`, or a net. None: taken from the file's name, as in "resnet50-0676ba61".
      num_classes: of the returned net; None: as the file, or as `model` where that is a net. If the number differs
        from the file's, the head is new (0: no head).
      dtype: of the net's arithmetic. Variables are at least float32; with float64 they keep a file's float64 values.
      ema: True loads the averaged weights of a training checkpoint, False the raw ones, None the only ones.
      allow_nonfinite: also load weights with NaN or infinite values and negative variances.
      revision: of a repository of the hub: a branch, a tag or a commit.
      token: of the hub, for private repositories; None: that of HF_TOKEN or of a login.
      cache_dir: of downloads; None: huggingface_hub's own for the hub, and for others $RESNET_JAX_CACHE, or
        resnet_jax in $XDG_CACHE_HOME or ~/.cache.
      local_files_only: download nothing, as with HF_HUB_OFFLINE=1.

    Raises:
      FileNotFoundError: no such file, run or published weights.
      DownloadFailed: the weights cannot be downloaded.
      WrongModel: the file is of another registered net.
      ValueError: an unknown model; entries that are missing, unexpected or of another shape; arrays that are not
        floating point or not finite; raw and averaged weights without `ema`; a corrupted or malicious file.
      MissingExtra: a file of Keras without h5py, weights of the hub without huggingface_hub.
    """
    if model is not None:
        as_model(model)
    weights = resolve(source, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only)
    if weights.is_checkpoint:
        return _of_checkpoint(weights.path, model, num_classes, dtype, ema=bool(ema), allow_nonfinite=allow_nonfinite)
    path = weights.path
    file = read_weights(path)
    net_state = unwrap(file, ema)
    config: Mapping[str, Any] = read_hub_config(path)
    overrides = _dtypes(dtype)
    if isinstance(model, nn.Module):
        num_classes = model.num_classes if num_classes is None else num_classes
        net = model.clone(**overrides)
    else:
        published_model = weights.published and weights.published.model
        net = create_model(model or published_model or _model_of_file(file, config, net_state.tensors), **overrides)
    spec, name = _row(net)
    names = _names(net, spec, net_state.tensors)
    state = {key: array for key, array in net_state.tensors.items() if key.startswith(names.table.prefix)}
    classifier = names.classifier()
    classes = _class_count(state, classifier[0])
    net = net.clone(**names.table.overrides, num_classes=classes if num_classes is None else num_classes)
    has_new_head = net.num_classes != classes
    body = {key: array for key, array in state.items() if not (has_new_head and key in classifier)}
    with _errors_with_file(path, net_state.tensors, name):
        expected = net.clone(num_classes=0) if has_new_head else net
        variables = to_variables(body, expected, names, allow_nonfinite=allow_nonfinite)
    if net_state.losses:
        warnings.warn(f"{path.name}: {net_state.losses}", stacklevel=2)
    notes = net_state.notes
    if others := len(net_state.tensors) - len(state):
        notes += (f"arrays without the prefix {names.table.prefix!r} ({others}) are another net's and are not read",)
    config = config_for(name, config)
    row = weights.published or by_checksum(spec, path)
    preprocess = preprocess_for(net, spec, name, names.layout, path, config, row)
    if has_new_head:
        return Pretrained(net, _with_new_classifier(net, variables), preprocess, name, notes=notes)
    return Pretrained(net, variables, preprocess, name, class_names(spec, config, classes, row), notes=notes)


def classes_of(source: str | Path, model: nn.Module, *, ema: bool | None = None) -> int:
    """Number of classes of the file's classifier, for a net of this kind; 0: none. Raises as `load_pretrained`."""
    state = unwrap(read_weights(resolve(source).path), ema).tensors
    return _class_count(state, _names(model, _row(model)[0], state).classifier()[0])


def _of_checkpoint(
    path: Path,
    model: str | nn.Module | None,
    num_classes: int | None,
    dtype: Any,
    *,
    ema: bool,
    allow_nonfinite: bool,
) -> Pretrained:
    """The latest checkpoint of a run, as `load_pretrained` returns it.

    Raises:
      ValueError: the checkpoint is of another net than `model`.
    """
    from resnet_jax.weights.checkpoint import load_checkpoint  # imports Orbax

    loaded = load_checkpoint(path, ema=ema, allow_nonfinite=allow_nonfinite)
    if model is None:
        net: Any = loaded.model
    else:
        net = as_model(model)
        if (name := registered_name(net)) != loaded.name:
            raise ValueError(f"{path} has a {loaded.name}, not {name}: pass model={loaded.name!r}")
        is_name = isinstance(model, str)
        num_classes = net.num_classes if num_classes is None and not is_name else num_classes
        net = loaded.model if is_name else net.clone(num_classes=loaded.model.num_classes)
        expected, actual = (
            {at: tuple(x.shape) for at, x in flatten_dict(dict(variables), sep="/").items()}
            for variables in (float32_shapes(net).variables, loaded.variables)
        )
        if differing := sorted(at for at in expected.keys() | actual.keys() if expected.get(at) != actual.get(at)):
            raise ValueError(f"{path} has other arrays than `model`: {listed(differing, 3)}")
    net = net.clone(**_dtypes(dtype))
    if num_classes is None or num_classes == net.num_classes:
        return loaded._replace(model=net)
    net = net.clone(num_classes=num_classes)
    head = {name: x for name, x in loaded.variables["params"].get("head", {}).items() if name != "dense"}
    params = {name: x for name, x in loaded.variables["params"].items() if name != "head"}
    body = loaded.variables | {"params": params | ({"head": head} if head else {})}
    return Pretrained(net, _with_new_classifier(net, body), loaded.preprocess, loaded.name)


def _dtypes(dtype: Any) -> dict[str, Any]:
    """Options of `create_model` for arithmetic in this type."""
    return {} if dtype is None else {"dtype": dtype, "param_dtype": at_least_float32(dtype)}


@contextmanager
def _errors_with_file(path: Path, state: State, name: str) -> Iterator[None]:
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
    except UnreadableWeights:
        raise
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _row(model: nn.Module) -> tuple[ModelSpec | None, str]:
    """The net's row and name in the registry; None and the name of its class for a net that is not registered."""
    name = registered_name(model)
    return (None, type(model).__name__) if name is None else (get_spec(name), name)


def _model_of_file(file: WeightFile, config: Mapping[str, Any], state: State) -> str:
    """The net's name: by the file's name, the configuration, the file's metadata, or the arrays."""
    stem = re.sub(r"_(rwightman|lukemelas)$", "", re.split(r"[-.]", file.path.name)[0])  # torchvision's EfficientNets
    for name in (stem, config.get("architecture"), file.metadata.get("architecture"), file.metadata.get("arch")):
        if name in MODELS:
            return str(name)
    match = recognise(state)
    hint = "pass model=..., one of list_models()"
    if match is not None:
        hint = f"it is {match}: pass model={match.names[0]!r}"
    raise ValueError(f"cannot tell the model from the name {file.path.name!r}; {hint}")


def _names(model: nn.Module, spec: ModelSpec | None, state: State) -> Names:
    """The names that most of the file's entries have."""
    paths = flatten_dict(float32_shapes(model).variables)

    def count_matches(names: Names) -> int:
        try:
            return sum(names.entry(path)[0] in state for path in paths)
        except ValueError:  # that library has no such net
            return -1

    return max(names_for(spec), key=count_matches)


def _class_count(state: State, bias: str) -> int:
    shape = state[bias].shape if bias in state else ()
    return shape[0] if shape else 0  # a scalar is reported with the other misfits


def _with_new_classifier(model: nn.Module, variables: Variables) -> Variables:
    if not model.num_classes:
        return variables
    pooled = float32_shapes(model).outputs.features["pool"]
    dense = Dense(model.num_classes).init(jax.random.key(0), jnp.zeros(pooled.shape, pooled.dtype))["params"]
    dense = jax.tree.map(lambda x: np.asarray(x, at_least_float32(model.param_dtype)), dense)
    head = variables["params"].get("head", {}) | {"dense": dense}
    return variables | {"params": variables["params"] | {"head": head}}
