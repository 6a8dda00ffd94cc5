"""State dicts of PyTorch <-> variables of our nets, strictly: every array must match."""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.errors import NotFinite, WeightsMismatch, listed
from resnet_jax.models import Shapes, natural_key, shapes
from resnet_jax.types import Variables, at_least_float32, flaw
from resnet_jax.weights.messages import not_floating
from resnet_jax.weights.names import Names
from resnet_jax.weights.readers.weight_file import StoredArray


def to_variables(
    state: Mapping[str, np.ndarray | StoredArray], model: nn.Module, names: Names, *, allow_nonfinite: bool = False
) -> Variables:
    """A state dict as the variables of `model`; every entry must match. Each array is read and copied once.

    Raises:
      WeightsMismatch: some do not.
      NotFinite: NaN or infinite values, variances below 0.
      ValueError: arrays that are not floating point.
    """
    expected = flatten_dict(float32_shapes(model).variables)
    dtype = np.dtype(at_least_float32(model.param_dtype))  # not the traced one, which is float32 without x64
    variables: dict[tuple[str, ...], np.ndarray] = {}
    unused = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    missing, misshapen, not_float, broken = [], [], [], []
    for path, struct in expected.items():
        key, is_conv1x1 = names.entry(path)
        if key not in unused:
            missing.append(key)
            continue
        stored = unused.pop(key)
        leaf = "" if names.is_own else path[-1]  # our own arrays keep their axes
        if not (np.issubdtype(stored.dtype, np.floating) or stored.dtype == jnp.bfloat16):
            not_float.append(f"{key} ({stored.dtype})")
            continue
        converted = _to_ours(np.broadcast_to(np.float32(0), stored.shape), struct.shape, leaf, is_conv1x1).shape
        if converted != struct.shape:
            misshapen.append(f"{key} (as {list(converted)} for {list(struct.shape)})")
            continue
        value = _to_ours(np.asarray(stored), struct.shape, leaf, is_conv1x1)
        with np.errstate(over="ignore"):  # overflow becomes infinite, and is reported below
            variables[path] = value.astype(dtype)
        if why := flaw(path[-1], variables[path]):
            broken.append(f"{key} ({why})")
    problems = {"missing": missing, "unexpected": list(unused), "of another shape": misshapen}
    if any(problems.values()):
        by_kind = {kind: sorted(keys, key=natural_key) for kind, keys in problems.items() if keys}
        lists = "; ".join(f"{len(keys)} {kind}: {listed(keys)}" for kind, keys in by_kind.items())
        raise WeightsMismatch(f"the weights do not fit the model: {lists}")
    if not_float:
        raise ValueError(not_floating(not_float))
    if broken and not allow_nonfinite:
        raise NotFinite(f"expected finite weights, got {listed(broken, 3)}")
    return unflatten_dict(variables)


def to_state(variables: Variables, names: Names) -> dict[str, np.ndarray]:
    """Variables as a state dict, without PyTorch's counters of batches: `to_variables` backwards."""
    state = {}
    for path, value in flatten_dict(variables).items():
        key, is_conv1x1 = names.entry(path)
        state[key] = _to_theirs(np.asarray(value), "" if names.is_own else path[-1], is_conv1x1)
    return state


def float32_shapes(model: nn.Module) -> Shapes:
    """`shapes` at the published image size. In float32, because tracing float64 asks for x64."""
    return shapes(model.clone(dtype=jnp.float32, param_dtype=jnp.float32), model.image_size)


def _to_ours(x: np.ndarray, shape: tuple[int, ...], leaf: str, is_conv1x1: bool) -> np.ndarray:
    """[Co, Ci, ...] -> [..., Ci, Co] for kernels; another rank than theirs is returned as it is, and reported."""
    if leaf != "kernel":
        return x
    if is_conv1x1:
        return x[:, :, 0, 0].T if x.ndim == 4 else x
    if len(shape) == 5 and x.ndim == 2 and x.size == np.prod(shape):  # experts: [E, Co * Ci * H * W]
        experts, height, width, channels, features = shape
        return x.reshape(experts, features, channels, height, width).transpose(0, 3, 4, 2, 1)
    return np.moveaxis(x, (0, 1), (-1, -2)) if x.ndim > 1 else x


def _to_theirs(x: np.ndarray, leaf: str, is_conv1x1: bool) -> np.ndarray:
    """[..., Ci, Co] -> [Co, Ci, ...] for kernels."""
    if leaf != "kernel":
        return x
    if is_conv1x1:
        return x.T[..., None, None]
    if x.ndim == 5:
        return x.transpose(0, 4, 3, 1, 2).reshape(len(x), -1)
    return np.moveaxis(x, (-1, -2), (0, 1))
