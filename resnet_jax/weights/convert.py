"""State dicts of other libraries <-> variables of our nets, strictly: every array must match."""

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
from resnet_jax.weights.names import FIRST_CONVOLUTIONS, Names, Path
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
    variables: dict[Path, np.ndarray] = {}
    unused = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    missing, misshapen, not_float, broken = [], [], [], []
    for path, struct in expected.items():
        if not names.is_stored(path):
            variables[path] = np.full(struct.shape, names.table.constants[path[-1]], dtype)
            continue
        parts = names.entries(path)
        keys = [*parts, *filter(None, [names.conv_bias(path)])]
        shape = struct.shape if len(parts) == 1 else (*struct.shape[:-1], struct.shape[-1] // len(parts))
        stored = {key: unused.pop(key) for key in keys if key in unused}
        for key in filter(None, map(names.copy, keys)):
            unused.pop(key, None)
        missing += [key for key in keys if key not in stored]
        not_float += [f"{key} ({x.dtype})" for key, x in stored.items() if not _is_floating(x.dtype)]
        converted = {key: _to_ours(_zeros(x.shape), shape, path, names).shape for key, x in stored.items()}
        others = {key: other for key, other in converted.items() if other != shape}
        misshapen += [f"{key} (as {list(other)} for {list(shape)})" for key, other in others.items()]
        if len(stored) < len(keys) or others or not all(_is_floating(x.dtype) for x in stored.values()):
            continue
        arrays = [_to_ours(np.asarray(x), shape, path, names) for x in stored.values()]
        value = arrays[0] if len(parts) == 1 else np.concatenate(arrays[: len(parts)], axis=-1)
        for bias in arrays[len(parts) :]:  # of the convolution before a norm
            value = value.astype(np.float64) - bias
        with np.errstate(over="ignore"):  # overflow becomes infinite, and is reported below
            variables[path] = value.astype(dtype)
        if why := flaw(path[-1], variables[path]):
            broken.append(f"{keys[0]} ({why})")
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
    """Variables as a state dict, without PyTorch's counters of batches: `to_variables` backwards.

    Biases that our convolutions do not have are 0.
    """
    state: dict[str, np.ndarray] = {}
    for path, value in flatten_dict(variables).items():
        if not names.is_stored(path):
            continue
        keys = names.entries(path)
        arrays = [np.asarray(value)] if len(keys) == 1 else np.split(np.asarray(value), len(keys), axis=-1)
        state |= {key: _to_theirs(x, path, names) for key, x in zip(keys, arrays, strict=True)}
        if copy := names.copy(keys[0]):
            state[copy] = state[keys[0]]
        if bias := names.conv_bias(path):
            state[bias] = np.zeros(value.shape, value.dtype)
    return state


def float32_shapes(model: nn.Module) -> Shapes:
    """`shapes` at the published image size. In float32, because tracing float64 asks for x64."""
    return shapes(model.clone(dtype=jnp.float32, param_dtype=jnp.float32), model.image_size)


def _to_ours(x: np.ndarray, shape: tuple[int, ...], path: Path, names: Names) -> np.ndarray:
    """[Co, Ci, ...] -> [..., Ci, Co] for kernels; another rank than theirs is returned as it is, and reported."""
    if x.ndim == 3 and x.size == len(x) and names.is_weight_norm(path):
        return x[:, 0, 0]
    if path[-1] != "kernel" or names.is_as_ours(path):
        return x
    is_conv1x1, is_ours = names.entry(path)[1], names.axes == "HWIO"
    if is_conv1x1:
        if x.ndim == 4 and (x.shape[:2] if is_ours else x.shape[2:]) == (1, 1):
            return x[0, 0] if is_ours else x[:, :, 0, 0].T
        return x if is_ours or x.ndim != 2 else x[None]  # a square one would look right
    if len(shape) == 5 and x.ndim == 2 and x.size == np.prod(shape):  # experts: [E, Co * Ci * H * W]
        experts, height, width, channels, features = shape
        return x.reshape(experts, features, channels, height, width).transpose(0, 3, 4, 2, 1)
    x = x if is_ours or x.ndim < 2 else np.moveaxis(x, (0, 1), (-1, -2))
    return _as_rgb(x, path, names)


def _to_theirs(x: np.ndarray, path: Path, names: Names) -> np.ndarray:
    """[..., Ci, Co] -> [Co, Ci, ...] for kernels."""
    if names.is_weight_norm(path):
        return x[:, None, None]
    if path[-1] != "kernel" or names.is_as_ours(path):
        return x
    x, is_ours = _as_rgb(x, path, names), names.axes == "HWIO"
    if names.entry(path)[1]:
        return x[None, None] if is_ours else x.T[..., None, None]
    if is_ours:
        return x
    if x.ndim == 5:
        return x.transpose(0, 4, 3, 1, 2).reshape(len(x), -1)
    return np.moveaxis(x, (-1, -2), (0, 1))


def _as_rgb(kernel: np.ndarray, path: Path, names: Names) -> np.ndarray:
    """The kernel that takes the image, for channels in the order R, G, B where the library's is B, G, R; and back."""
    return kernel[..., ::-1, :] if names.table.is_bgr and path in FIRST_CONVOLUTIONS else kernel


def _is_floating(dtype: np.dtype) -> bool:
    return np.issubdtype(dtype, np.floating) or dtype == jnp.bfloat16


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    """An array of this shape without memory of its own."""
    return np.broadcast_to(np.float32(0), shape)
