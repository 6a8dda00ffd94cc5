"""Norms folded into the convolutions before them, for inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax import ops
from resnet_jax.errors import check_type, one_line
from resnet_jax.models.inspect import ImageSize
from resnet_jax.models.layers import BatchNorm, BiasedConv, CondConv, Conv, Dense, StandardizedConv
from resnet_jax.models.norm_inputs import TracedNet, trace_norms
from resnet_jax.models.partials import Partial
from resnet_jax.models.registry import as_model
from resnet_jax.models.sequence.layers import CausalConv, WeightNormConv
from resnet_jax.types import Array, Dtype, Variables, at_least_float32

Flat = dict[tuple[str, ...], Any]


class FoldedNorm(nn.Module):
    """A `BatchNorm` after `fold_norms`: x + bias, where a convolution has the scale, or scale * x + bias.

    Raises:
      ValueError: `use_batch_statistics`, which only training sets; variables of the net before `fold_norms`.
    """

    scaled: tuple[str, ...] = ()  # paths of the norms in the net that have a scale
    axis_name: str | None = None  # this and the next have no effect: they make it a drop-in for `BatchNorm`
    group_size: int | None = None
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, use_batch_statistics: bool, weights: Array | None = None) -> Array:
        if self.has_variable("batch_stats", "mean"):  # without this check they would give other numbers
            raise ValueError("variables: expected those that fold_norms returns, got some with batch_stats")
        if use_batch_statistics:
            raise ValueError("train: expected False for a net of fold_norms, got True; train the net before it")
        wide = at_least_float32(self.param_dtype)
        shape, y = (x.shape[-1],), x.astype(wide)
        over_channels = (1,) * (x.ndim - 1) + (-1,)
        if self._has_scale():
            y = y * ops.unshard(self.param("scale", self.scale_init, shape, wide)).astype(wide).reshape(over_channels)
        bias = ops.unshard(self.param("bias", nn.initializers.zeros, shape, wide))
        return (y + bias.astype(wide).reshape(over_channels)).astype(self.dtype)

    def _has_scale(self) -> bool:
        """Whether this is one of `scaled`; its path is longer inside another module, shorter in a backbone alone."""
        here = f"/{'/'.join(self.path)}"
        return any(here.endswith(f"/{path}") or f"/{path}".endswith(here) for path in self.scaled)


class _Norm(BatchNorm):
    """A norm that the net's `norm` makes, in the trace."""


class _Standardized(StandardizedConv):
    """A convolution that the net's `conv` makes, in the trace."""


# Parameters that a layer's output is linear in. Their last axis is the output's channels.
LINEAR: dict[type[nn.Module], tuple[str, ...]] = {
    **dict.fromkeys((Conv, CausalConv, CondConv, _Standardized), ("kernel",)),
    **dict.fromkeys((BiasedConv, Dense), ("kernel", "bias")),
    WeightNormConv: ("scale", "bias"),
}


def fold_norms(
    model: str | nn.Module, variables: Variables, image_size: ImageSize | None = None
) -> tuple[nn.Module, Variables]:
    """A net for inference with the same outputs, and its variables: batch norms become part of convolutions.

    A norm is folded into the convolution or dense layer before it if nothing else uses that one's output, or into
    several of them, whose outputs are joined in the channels. It then only adds a bias. Other norms, such as those in
    front of pre-activation blocks, become a scale and a bias. The net has the fields, the features and, apart from
    norms, the parameters of `model`, and no running statistics; outputs agree up to rounding. It cannot be trained.

    A net whose `norm` is no `BatchNorm` is returned as it is. Layers of your own are not folded into.

    Args:
      model: a net of `create_model`, or its name.
      variables: of that net, arrays of NumPy or JAX.
      image_size: of inputs that the variables are for, as in `summary`; None: the net's. The result takes all sizes.

    Raises:
      TypeError, ValueError: no such net, or variables or a size that do not fit it.
    """
    net: Any = as_model(model)
    _check_variables(variables)
    if _kind(net.norm) is not BatchNorm:
        return net, variables
    is_standardized = _kind(net.conv) is StandardizedConv
    wide: dict[str, Any] = {"dtype": jnp.float32, "param_dtype": jnp.float32, "remat": "none"}  # float64 asks for x64
    conv = {"conv": _replaced(net.conv, _Standardized)} if is_standardized else {}
    try:
        traced = trace_norms(
            net.clone(norm=_replaced(net.norm, _Norm), **conv, **wide),
            variables,
            net.image_size if image_size is None else image_size,
            norm=_Norm,
            layers=LINEAR.keys(),
        )
    except FlaxError as error:
        problem = one_line(error).partition(" (https:")[0]
        raise ValueError(f"variables: expected those of this net, got others: {problem}") from error
    if not traced.norms:
        return net, variables
    flat: Flat = flatten_dict(dict(nn.meta.unbox(variables)))
    with np.errstate(invalid="ignore", over="ignore"):  # weights of a diverged run
        _fold(flat, traced)
    scaled = tuple(sorted(path for path in traced.norms if path not in traced.sources))
    fields = {"conv": _replaced(net.conv, Conv)} if is_standardized else {}
    folded = net.clone(norm=Partial(FoldedNorm, scaled=scaled), frozen_norms=(), **fields)
    return folded, unflatten_dict(flat)


def _check_variables(variables: Variables) -> None:
    """Raises TypeError for anything but a dict of arrays."""
    expected = "variables of a net, a dict of arrays as of model.init"
    check_type(variables, Mapping, expected)
    for x in jax.tree.leaves(nn.meta.unbox(variables)):
        check_type(x, (np.ndarray, np.generic, jax.Array), expected)


def _fold(flat: Flat, traced: TracedNet) -> None:
    """Rewrites the variables of all norms, and of layers before them. The arithmetic is float64."""
    for path, layer in traced.layers.items():
        if type(layer) is _Standardized:
            kernel = ("params", *path.split("/"), "kernel")
            same_type = layer.clone(param_dtype=flat[kernel].dtype)
            flat[kernel] = _like(same_type.transform_kernel(flat[kernel]), flat[kernel])
    for path, norm in traced.norms.items():
        at = tuple(path.split("/"))
        mean, var = (flat.pop(("batch_stats", *at, name)) for name in ("mean", "var"))
        old = (flat.pop(("params", *at, name), default) for name, default in (("scale", 1.0), ("bias", 0.0)))
        scale, bias = (np.asarray(x, np.float64) for x in old)
        factor = scale / np.sqrt(np.asarray(var, np.float64) + norm.epsilon)
        flat["params", *at, "bias"] = _like(bias - np.asarray(mean, np.float64) * factor, mean)
        if path not in traced.sources:
            flat["params", *at, "scale"] = _like(factor, mean)
            continue
        sources = traced.sources[path]
        ends = np.cumsum([traced.layers[source].features for source in sources])
        for source, part in zip(sources, np.split(factor, ends[:-1]), strict=True):
            _scale(flat, source, LINEAR[type(traced.layers[source])], part)


def _scale(flat: Flat, path: str, names: Sequence[str], factor: np.ndarray) -> None:
    """Multiplies each channel of a layer's output by its factor."""
    for name in names:
        key = ("params", *path.split("/"), name)
        if key in flat:  # dense layers may have no bias
            flat[key] = _like(np.asarray(flat[key], np.float64) * factor, flat[key])


def _like(values: Any, array: Any) -> Any:
    """Values with the type of an array, on a device if it is on one."""
    return jnp.asarray(values, array.dtype) if isinstance(array, jax.Array) else np.asarray(values, array.dtype)


def _kind(make: Any) -> Any:
    """The class of a factory: a class, or a partial of one."""
    return make.func if isinstance(make, Partial) else make


def _replaced(make: Any, kind: type[nn.Module]) -> Any:
    """The factory with another class, which has the fields of the first that are set."""
    if not isinstance(make, Partial):
        return kind
    values = {name: x for name, x in make.keywords.items() if name in kind.__dataclass_fields__}
    return Partial(kind, *make.args, **values)
