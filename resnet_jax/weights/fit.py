"""Arrays of a library as variables of a net: its names, another number of classes, another number of input channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.models import ModelSpec
from resnet_jax.models.inspect import has_texts, is_dense
from resnet_jax.models.layers import Dense
from resnet_jax.models.registry import default_net
from resnet_jax.types import Variables, at_least_float32
from resnet_jax.weights.convert import float32_shapes, to_variables
from resnet_jax.weights.names import FIRST_CONVOLUTIONS, Names, Path, names_for, with_current_names
from resnet_jax.weights.readers import StoredArray

State = Mapping[str, StoredArray]
CLASSIFIER_KERNEL = ("params", "head", "dense", "kernel")


class Fitted(NamedTuple):
    """A net with the variables of a file."""

    model: Any
    variables: Variables
    classes: int  # of the file's classifier; 0: none
    notes: tuple[str, ...]  # sentences about what differs from the file


def fit(
    state: State,
    model: Any,
    names: Names,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    allow_nonfinite: bool = False,
) -> Fitted:
    """A file's arrays as variables of a net of this kind, with as many classes and input channels as asked.

    Args:
      num_classes, in_channels: of the returned net; None: as the file.

    Raises:
      ValueError: as `to_variables`; or a number of classes or channels that no net can have.
    """
    state = with_current_names(state, names.table)
    classes, channels = class_count(state, names, model), channel_count(state, names)
    if has_texts(model):  # without features, the arrays that are missing are named
        classes = classes or model.num_classes
    prefix, notes = names.table.prefix, tuple(filter(None, [names.table.note]))
    own = {key: array for key, array in state.items() if key.startswith(prefix)}
    if others := len(state) - len(own):
        notes += (f"arrays without the prefix {prefix!r} ({others}) are another net's and are not read",)
    constants, own_constants = constants_for(model, names)
    net = model.clone(
        **constants,
        num_classes=classes if num_classes is None else num_classes,
        in_channels=channels or model.in_channels,
    )
    num_classes = net.num_classes
    if has_texts(net) and num_classes != classes:
        raise ValueError(f"num_classes: expected {classes}, the length of the file's embeddings, got {num_classes}")
    if is_dense(net) or has_texts(net):
        net, without = with_parts_of(own, net, names)
        notes += without
    if num_classes != classes:
        if not is_dense(net):
            own = {key: array for key, array in own.items() if key not in names.classifier()}
        net = net.clone(num_classes=max(classes, net.least_classes) if is_dense(net) else 0)
    variables = to_variables(own, net, names, allow_nonfinite=allow_nonfinite)
    net, variables, has_new_head = with_classes(net, variables, num_classes)
    if has_new_head:
        notes += (new_head(classes, num_classes),)
    net, variables, adapted = with_channels(net, variables, net.in_channels if in_channels is None else in_channels)
    return Fitted(net, variables, classes, notes + own_constants + adapted)


def constants_for(model: Any, names: Names) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The library's values of the net's fields, without those that the caller chose, and a note on each of these.

    A net without a row has no defaults to tell a choice from: it gets all values.
    """
    constants, default = dict(names.table.overrides), default_net(model)
    chosen = [key for key in constants if getattr(model, key) not in (constants[key], getattr(default, key))]
    notes = []
    for key in chosen:
        values = ", ".join(f"{option}={value}" for option, value in constants.pop(key).keywords.items())
        notes.append(f"the net has its own {key}; the nets of this library ({names.layout}) have {values}")
    return constants, tuple(notes)


def names_in(state: State, model: nn.Module, spec: ModelSpec | None) -> Names:
    """The names that most of the file's entries have."""
    tables = {} if spec is None else spec.name_tables

    def count_matches(names: Names) -> int:
        overrides = names.table.overrides if names.layout in tables else {}
        net = model.clone(stages=overrides["stages"]) if "stages" in overrides else model
        paths = flatten_dict(float32_shapes(net).variables)
        try:
            return sum(names.entry(path)[0] in state for path in paths if names.is_stored(path))
        except ValueError:  # that library has no such net
            return -1

    return max(names_for(spec, model), key=count_matches)


def class_count(state: State, names: Names, model: Any) -> int:
    """Number of classes of the file's classifier, for a net of this kind; 0: it has none."""
    bias = names.classifier()[0]
    shape = state[bias].shape if bias in state else ()
    if not shape:
        return 0  # a scalar is reported with the other misfits
    per_class = 1
    if is_dense(model) and model.num_classes:  # a detector has a number of each class for each of its anchors
        path = ("params", *names.table.classifiers[0].split("/"), "bias")
        per_class = flatten_dict(float32_shapes(model).variables)[path].shape[0] // model.num_classes
    return shape[0] // per_class


def channel_count(state: State, names: Names) -> int:
    """Number of channels that the file's first convolution takes; 0: it has none."""
    shapes = [state[name].shape for name in names.first_convolutions() if name in state]
    kernels = [shape for shape in shapes if len(shape) == len(names.axes)]
    return kernels[0][names.axes.index("I")] if kernels else 0


def new_head(classes: int, num_classes: int) -> str:
    """A note on a head that is not the file's, which has `classes` classes or none."""
    of_file = f"the one in the file is for {classes} classes" if classes else "the file has none"
    return f"the head for {num_classes} classes is new: {of_file}" if num_classes else f"no head is read: {of_file}"


def first_convolution(paths: Iterable[Path]) -> Path | None:
    """The path of the kernel that takes the image."""
    paths = set(paths)
    return next((path for path in FIRST_CONVOLUTIONS if path in paths), None)


def with_classes(model: Any, variables: Variables, num_classes: int) -> tuple[Any, Variables, bool]:
    """The net with another number of classes, its variables, and whether its classifier is new; 0: no classifier."""
    if num_classes == model.num_classes:
        return model, variables, False
    net = model.clone(num_classes=num_classes)
    if is_dense(net):
        return net, with_new_layers(net, variables), bool(num_classes)
    head = variables["params"].get("head", {})
    head = {name: x for name, x in head.items() if name != "dense"}
    if num_classes:
        pooled = float32_shapes(net).outputs.features["pool"]
        dense = Dense(num_classes).init(jax.random.key(0), jnp.zeros(pooled.shape, pooled.dtype))["params"]
        head["dense"] = jax.tree.map(lambda x: np.asarray(x, at_least_float32(net.param_dtype)), dense)
    body = {name: x for name, x in variables["params"].items() if name != "head"}
    params = body | ({"head": head} if head else {})
    return net, variables | {"params": params}, bool(num_classes)


def with_new_layers(net: Any, variables: Variables) -> Variables:
    """Variables of a net: those of another net where the shapes are equal, and else initialised ones."""
    paths, old = flatten_dict(float32_shapes(net).variables), flatten_dict(variables)
    same = {path: old[path] for path, x in paths.items() if path in old and old[path].shape == x.shape}
    other = [path for path in paths if path not in same]
    plain = net.clone(dtype=jnp.float32, param_dtype=jnp.float32)
    images = jnp.zeros((1, net.image_size, net.image_size, net.in_channels))

    @jax.jit  # computes nothing but these arrays
    def initialised(key: jax.Array) -> list[jax.Array]:
        fresh = flatten_dict(plain.init(key, images, train=False))
        return [fresh[path] for path in other]

    dtype = at_least_float32(net.param_dtype)
    fresh = {path: np.asarray(x, dtype) for path, x in zip(other, initialised(jax.random.key(0)), strict=True)}
    return unflatten_dict({path: same[path] if path in same else fresh[path] for path in paths})


def with_parts_of(state: State, net: Any, names: Names) -> tuple[Any, tuple[str, ...]]:
    """The segmenter with an auxiliary head, or CLIP with a bias of the logits, if the file has one.

    With a note if it is another net than `net` for that.
    """
    if has_texts(net):
        in_file, has_bias = names.entry(("params", "logit_bias"))[0] in state, net.init_logit_bias is not None
        if in_file == has_bias:
            return net, ()
        what = "have a bias, as the file has" if in_file else "have no bias: the file has none"
        return net.clone(init_logit_bias=0.0 if in_file else None), (f"the logits {what}",)
    if not hasattr(net, "has_auxiliary"):
        return net, ()
    paths = flatten_dict(float32_shapes(net.clone(has_auxiliary=True)).variables)
    in_file = any(names.entry(path)[0] in state for path in paths if path[1] == "auxiliary")
    if in_file == net.has_auxiliary:
        return net, ()
    what = "has an auxiliary head, as the file has" if in_file else "has no auxiliary head: the file has none"
    return net.clone(has_auxiliary=in_file), (f"the net {what}",)


def with_channels(model: Any, variables: Variables, in_channels: int) -> tuple[Any, Variables, tuple[str, ...]]:
    """The net with another number of input channels, its variables, and a note on it, by timm's rule.

    For one channel the kernels of all channels are added: a grey image in each channel gives the same numbers. For more
    they are repeated and scaled to keep the sum: channel c gets the kernel of channel c modulo their number.
    """
    net, channels = model.clone(in_channels=in_channels), model.in_channels
    in_channels = net.in_channels
    if in_channels == channels:
        return model, variables, ()
    flat = flatten_dict(variables)
    path = first_convolution(flat)
    if path is None:
        raise ValueError(f"in_channels: expected {channels}, got {in_channels}; the net has no first convolution")
    kernel = np.asarray(flat[path])  # [..., Ci, Co]
    if in_channels == 1:
        kernel, how = kernel.sum(-2, keepdims=True), "added"
    else:
        order = np.arange(in_channels) % channels
        kernel, how = kernel[..., order, :] * np.asarray(channels / in_channels, kernel.dtype), "repeated and scaled"
    note = f"the net takes {in_channels} channels, the file's {channels}: the kernels of its channels are {how}"
    return net, unflatten_dict(flat | {path: kernel}), (note,)
