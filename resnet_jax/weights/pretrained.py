"""Weights from any source as nets with their variables."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import flax.linen as nn

from resnet_jax.errors import AmbiguousWeights, NotFinite, UnreadableWeights, WeightsMismatch, WrongModel, listed
from resnet_jax.inputs.captions import MARKS
from resnet_jax.models import MODELS, ModelSpec, as_model, create_model, differing_arrays, get_spec, registered_name
from resnet_jax.models.inspect import has_texts, is_dense
from resnet_jax.models.layers import BatchNorm
from resnet_jax.models.partials import Partial
from resnet_jax.models.published import PublishedWeights
from resnet_jax.types import Preprocess, Pretrained, at_least_float32
from resnet_jax.weights.fit import Fitted, class_count, fit, names_in, new_head, with_channels, with_classes
from resnet_jax.weights.hub_config import check_arguments, config_for, open_clip_options, read_hub_config
from resnet_jax.weights.metadata import read_metadata
from resnet_jax.weights.names import with_current_names
from resnet_jax.weights.preprocessing import adapted_to, preprocess_for
from resnet_jax.weights.published import class_names, named_outputs, of_file
from resnet_jax.weights.readers import StoredArray, WeightFile, read_weights
from resnet_jax.weights.recognition import LOOKALIKES, Match, on_backbone, recognise
from resnet_jax.weights.sources import Source, resolve
from resnet_jax.weights.transformers_config import read_classes
from resnet_jax.weights.wrappers import FROZEN, NetState, has_dense_names, unwrap

State = Mapping[str, StoredArray]


def load_pretrained(
    source: str | Path,
    *,
    model: str | nn.Module | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    dtype: Any = None,
    ema: bool | None = None,
    allow_nonfinite: bool = False,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Pretrained:
    """A net with trained variables, read without PyTorch: from a file, a run, or published weights by name.

    Files have our own names, or those of a library in the net's `ModelSpec.name_tables`, such as torchvision or timm.
    Keys and prefixes around the net's arrays ("state_dict", "module.", "backbone.") are removed. Other arrays in the
    file, such as a projection head, are not read, and a warning lists them; `notes` has both. Of a file with both
    towers of CLIP that no name of published weights and no `model` describes, the image tower is read, with a warning.

    `preprocess` and `classes` are those in the metadata of a file that this package wrote. Otherwise `preprocess` is
    that of the published weights which the source, or the file's checksum and name, say, or that of timm's
    `config.json` of this net beside the file. Else usual values for the net are assumed; `preprocess.source` says
    which. `classes` are then the class names in this `config.json`, or those of the published weights that the source,
    the checksum or the tag in `config.json` names. Of a net of images and texts they are the words of its captions.

    Args:
      source: a file of safetensors, of PyTorch (also before 1.6, and TorchScript), of NumPy (.npz, or pickled arrays in
        dicts) or of Keras (.h5), an index of several files, a folder with one of the hub's file names; or the directory
        of a run, its `checkpoints` or a step in that, of which the latest is read (`load_checkpoint` reads others).
        If nothing of this name is on this machine: "torchvision/NAME.TAG" or "open_clip/NAME.TAG", as `resnet-jax
        weights` lists them, or the HTTP(S) address of a file, which are downloaded to `cache_dir`; "timm/NAME.TAG" or
        another repository of the Hugging Face hub, "ORGANISATION/NAME" or "ORGANISATION/NAME@REVISION", which
        huggingface_hub downloads.
      model: a name of `list_models()`, or a net. None: the net that has the file's arrays;
        of several the one in the file's name, as "resnet50-0676ba61", or in its metadata.
      num_classes: of the returned net; None: as the file, or as `model` where that is a net. If the number differs
        from the file's, the head is new (0: no head), which `notes` says.
      in_channels: of the returned net; None: as the file, or as `model` where that is a net. If the number differs from
        the file's, the first convolution is adapted as timm does it: for one channel the kernels of all are added, for
        more they are repeated and scaled.
      dtype: of the net's arithmetic. Variables are at least float32; with float64 they keep a file's float64 values.
      ema: True loads the averaged weights of a training checkpoint, False the raw ones, None the only ones.
      allow_nonfinite: also load weights with NaN or infinite values, negative variances, or a logit scale whose
        exponential is infinite.
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
        sizes = {"num_classes": num_classes, "in_channels": in_channels}
        return _of_checkpoint(weights.path, model, dtype, **sizes, ema=bool(ema), allow_nonfinite=allow_nonfinite)
    path = weights.path
    file = _read(weights)
    config: Mapping[str, Any] = read_hub_config(path)
    overrides, architecture = _dtypes(dtype), file.metadata.get("architecture")
    options, own_classes, own_preprocess = read_metadata(file.metadata, path.name)
    named = weights.published.model if model is None and weights.published else model
    net_state = _net_in(file, ema, named)
    if isinstance(model, nn.Module):
        num_classes = model.num_classes if num_classes is None else num_classes
        in_channels = model.in_channels if in_channels is None else in_channels
        net = model.clone(**overrides)
    else:
        chosen = str(named) if named is not None else _model_of_file(file, config, net_state.tensors)
        if named is None and chosen != architecture and (tower := get_spec(chosen).image_tower) is not None:
            both = f"the next version reads both towers; model={chosen!r} does so now, model={tower!r} keeps to one"
            warnings.warn(f"{path.name}: the image tower alone is read; {both}", FutureWarning, stacklevel=2)
            chosen = tower
        options = options if chosen == architecture else {}
        if get_spec(chosen).image_tower is not None:
            options = open_clip_options(path) | options
        if get_spec(chosen).takes_backbone and (backbone := on_backbone(net_state.tensors, chosen)) is not None:
            options = {"backbone": backbone} | options
        net = create_model(chosen, **options, **overrides)
    spec, name = _row(net)
    _check_published(weights, name)
    names = names_in(net_state.tensors, net, spec)
    sizes = {"num_classes": num_classes, "in_channels": in_channels}
    with _errors_with_file(path, net_state.tensors, name):
        fitted = fit(net_state.tensors, net, names, **sizes, allow_nonfinite=allow_nonfinite)
    if other := _lookalike(_names_of_file(file, config), name, net_state.tensors):
        warnings.warn(f"{path.name} is read as {name}; it says {other}, which has equal arrays", stacklevel=2)
    if net_state.losses:
        warnings.warn(f"{path.name}: {net_state.losses}", stacklevel=2)
    row = weights.published or of_file(spec, path)
    if spec is not None and spec.family == "detection" and names.layout == "torchvision":
        fitted = _with_norms_of(fitted, net_state, row)
    config = read_classes(path) if names.layout == "transformers" else config_for(name, config)
    if not isinstance(model, nn.Module):
        check_arguments(config, path.name)
    preprocess = preprocess_for(fitted.model, spec, name, names.layout, path, config, row)
    classes = class_names(spec, config, fitted.classes, row)
    if architecture == name and own_preprocess is not None:
        if isinstance(own_preprocess, Preprocess):
            own_preprocess = replace(own_preprocess, source=path.name)
        preprocess = adapted_to(own_preprocess, fitted.model.in_channels)
    if architecture == name and own_classes is not None and len(own_classes) == _named(fitted, spec):
        classes = tuple(own_classes)
    classes = classes if fitted.model.num_classes == fitted.classes else None
    notes = net_state.notes + fitted.notes
    return Pretrained(fitted.model, fitted.variables, preprocess, name, classes, notes=notes)


def net_with_texts(source: str | Path, *, ema: bool | None = None) -> str | None:
    """The registered net of images and texts whose arrays a source has; None: it has another net, or is a checkpoint.

    Names and shapes are read, and no array. Raises as `load_pretrained`.
    """
    weights = resolve(source)
    if weights.is_checkpoint:
        return None
    file = _read(weights)
    try:
        state = unwrap(file, ema)
    except AmbiguousWeights:  # raw and averaged ones are of one net
        state = unwrap(file, False)
    match = recognise(state.tensors)
    names = () if match is None else match.names
    return next((name for name in names if MODELS[name].image_tower is not None), None)


def words_of(source: str | Path) -> tuple[str, ...]:
    """The tokens of captions that a file of a net of images and texts has; (): it has none, or is a checkpoint.

    No array is read. Raises as `load_pretrained`.
    """
    weights = resolve(source)
    if weights.is_checkpoint:
        return ()
    metadata = _read(weights).metadata
    architecture = metadata.get("architecture")
    takes_texts = architecture in MODELS and MODELS[architecture].image_tower is not None
    return tuple(read_metadata(metadata, weights.path.name)[1] or ()) if takes_texts else ()


def _named(fitted: Fitted, spec: ModelSpec | None) -> int:
    """How many names a file has: those of its classes or, of a net that takes texts, the words of its vocabulary."""
    net: Any = fitted.model
    return net.vocabulary_size - MARKS if has_texts(net) else named_outputs(spec, fitted.classes)


def classes_of(source: str | Path, model: nn.Module, *, ema: bool | None = None) -> int:
    """Number of classes of the file's classifier, for a net of this kind; 0: none. Raises as `load_pretrained`."""
    state = unwrap(_read(resolve(source)), ema, dense=is_dense(model)).tensors
    names = names_in(state, model, _row(model)[0])
    return class_count(with_current_names(state, names.table), names, model)


def _net_in(file: WeightFile, ema: bool | None, model: str | nn.Module | None) -> NetState:
    """The arrays of the net: a segmenter or detector if `model` is one or, where it is None, if they fit one."""
    if model is not None:
        return unwrap(file, ema, dense=is_dense(as_model(model)))
    if not has_dense_names(file):
        return unwrap(file, ema)
    whole = unwrap(file, ema, dense=True)
    architecture = file.metadata.get("architecture")
    if architecture in MODELS and MODELS[architecture].is_dense:
        return whole
    match = recognise(whole.tensors)
    return whole if match is not None and MODELS[match.names[0]].is_dense else unwrap(file, ema)


def _with_norms_of(fitted: Fitted, state: NetState, row: PublishedWeights | None) -> Fitted:
    """The detector with the norms of torchvision's file: frozen ones count no batches, and may have another epsilon."""
    backbone: Any = fitted.model.backbone
    if any(name.endswith("num_batches_tracked") for name in state.tensors):
        return fitted
    backbone = backbone.clone(frozen_norms=("all",))
    notes = (*fitted.notes, "the norms of the backbone are frozen, as in the file")
    if row is not None and row.norm_epsilon is not None:
        backbone = backbone.clone(norm=Partial(BatchNorm, epsilon=row.norm_epsilon))
    elif row is None:
        notes = (*notes, FROZEN)
    return fitted._replace(model=fitted.model.clone(backbone=backbone), notes=notes)


def _read(weights: Source) -> WeightFile:
    """The arrays of a file. Raises UnreadableWeights, with what to remove if the file was downloaded."""
    try:
        return read_weights(weights.path)
    except UnreadableWeights as error:
        if not weights.is_cached:
            raise
        raise UnreadableWeights(f"{error}; removing {str(weights.path)!r} downloads it again") from None


def _of_checkpoint(
    path: Path,
    model: str | nn.Module | None,
    dtype: Any,
    *,
    num_classes: int | None,
    in_channels: int | None,
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
        if not is_name:
            num_classes = net.num_classes if num_classes is None else num_classes
            in_channels = net.in_channels if in_channels is None else in_channels
        sizes = {"num_classes": loaded.model.num_classes, "in_channels": loaded.model.in_channels}
        net = loaded.model if is_name else net.clone(**sizes)
        if differing := differing_arrays(net, loaded.variables):
            raise ValueError(f"{path} has other arrays than `model`: {listed(differing, 3)}")
    net = net.clone(**_dtypes(dtype))
    count, channels = net.num_classes, net.in_channels
    net, variables, _ = with_classes(net, loaded.variables, count if num_classes is None else num_classes)
    net, variables, notes = with_channels(net, variables, channels if in_channels is None else in_channels)
    preprocess = adapted_to(loaded.preprocess, net.in_channels)
    if net.num_classes == count:
        return loaded._replace(model=net, variables=variables, preprocess=preprocess, notes=notes)
    return Pretrained(net, variables, preprocess, loaded.name, notes=(*notes, new_head(count, net.num_classes)))


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
        if match is not None and name not in match.equal_names:
            raise WrongModel(path.name, match) from None
        raise WeightsMismatch(f"{path.name}: {error}") from None
    except NotFinite as error:
        raise NotFinite(f"{path.name}: {error.problem}") from None
    except UnreadableWeights:
        raise
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _check_published(weights: Source, name: str) -> None:
    """Raises WrongModel if published weights are of another net: equal arrays may mean other numbers."""
    row = weights.published
    if row is not None and name in MODELS and MODELS[row.model].build != MODELS[name].build:
        raise WrongModel(row.name, Match((row.model,), (row.source,), frozenset({row.model})))


def _row(model: nn.Module) -> tuple[ModelSpec | None, str]:
    """The net's row and name in the registry; None and the name of its class for a net that is not registered."""
    name = registered_name(model)
    return (None, type(model).__name__) if name is None else (get_spec(name), name)


def _model_of_file(file: WeightFile, config: Mapping[str, Any], state: State) -> str:
    """The net's name: by the arrays; where they fit several nets, by the file's name or metadata.

    Raises:
      ValueError: they do not say it.
    """
    candidates, architecture = _names_of_file(file, config), config.get("architecture")
    other = architecture if architecture not in MODELS else next(filter(LOOKALIKES.__contains__, candidates), None)
    match = recognise(state)
    if other is not None and match is not None:
        problem = f"{file.path.name} is {other}, which is not registered; its arrays fit {match}"
        raise ValueError(f"{problem}; {match.advice} if that is meant")
    named = [name for name in candidates if name in MODELS]
    if match is None and named:
        return named[0]
    if match is None:
        raise ValueError(
            f"cannot tell the model from the name {file.path.name!r}, nor from its arrays; "
            "pass model=..., one of list_models()"
        )
    if fitting := [name for name in named if name in match.equal_names]:
        return fitting[0]
    if len(match.names) > 1:
        raise ValueError(f"cannot tell the model from {file.path.name!r}: its arrays fit {match}; {match.advice}")
    return match.names[0]


def _names_of_file(file: WeightFile, config: Mapping[str, Any]) -> list[str]:
    """What the net may be called by the file's name, config.json and metadata."""
    stem = re.sub(r"_(rwightman|lukemelas)$", "", re.split(r"[-.]", file.path.name)[0])  # torchvision's EfficientNets
    names = (stem, config.get("architecture"), file.metadata.get("architecture"), file.metadata.get("arch"))
    return [str(name) for name in names if name]


def _lookalike(stated: list[str], name: str, state: State) -> str | None:
    """The net that a file says it is, if that has the arrays of the net `name` and other numbers; otherwise None."""
    others = [other for other in stated if other in MODELS or other in LOOKALIKES]
    if not others or name not in MODELS or any(config_for(name, {"architecture": other}) for other in others):
        return None
    match = recognise(state)
    return others[0] if others[0] in LOOKALIKES or (match and others[0] in match.equal_names) else None
