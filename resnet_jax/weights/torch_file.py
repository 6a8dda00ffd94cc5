"""Reads the state dict in a file that PyTorch wrote, without PyTorch. No code in the file is run."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import AmbiguousWeights, UnexpectedContents, one_line
from resnet_jax.weights.messages import no_averaged_weights, not_floating

DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# Names of PyTorch in files of quantised and float8 arrays, which are not read.
OTHER_TYPES = re.compile(r"(q|per_|float|complex)\w+|u?int\d+|Q\w+Storage|UntypedStorage")
# The state dicts in a training checkpoint: raw weights, averaged weights.
WRAPPED = (("state_dict", "state_dict_ema"), ("model", "model_ema"))


def read_torch(path: Path, ema: bool | None) -> dict[str, np.ndarray]:
    """Every array of the state dict in the file. Raises AmbiguousWeights and ValueError as `read_state`."""
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            if pickled is None:
                raise ValueError("it has no data.pkl")
            state = _select_state_dict(_unpickled(_member(archive, pickled, path)), ema, path)
            if not isinstance(state, dict) or not all(
                type(name) is str and type(tensor) in (_Tensor, _Unreadable) for name, tensor in state.items()
            ):
                raise UnexpectedContents(f"{path.name} has other contents than a state dict of tensors")
            if unreadable := [f"{name} ({x.kind})" for name, x in state.items() if type(x) is _Unreadable]:
                raise UnexpectedContents(f"{path.name}: {not_floating(unreadable)}")
            return _arrays(state, archive, pickled.removesuffix("/data.pkl"), path)
    except AmbiguousWeights:
        raise
    except UnexpectedContents as error:
        raise ValueError(str(error)) from None
    except zipfile.BadZipFile:
        raise ValueError(f"{path.name} is not a complete zip archive, the format of PyTorch since 1.6") from None
    except Exception as error:  # a corrupted pickle can raise anything
        reason = one_line(error)
        raise ValueError(f"{path.name} is not a valid PyTorch state dict: {reason}") from error


class _Storage(NamedTuple):
    """Name of the values that tensors are views of. Plain data, because a pickle can change other objects."""

    kind: str
    key: str


class _Unreadable(NamedTuple):
    """A tensor of a type that NumPy does not have."""

    kind: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _array(values: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """A view of a storage's values [n] with this offset, shape and stride. No copy: a storage may have many views."""
    if not all(type(n) is int for n in (offset, *size, *stride)):
        raise ValueError("expected whole numbers in a tensor's shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    count = math.prod(size)
    # Strides of 0 would make a tensor of any size from one value.
    if min((offset, *size, *stride)) < 0 or count > len(values) or (count and last >= len(values)):
        raise ValueError(f"a tensor reaches beyond its storage of {len(values)} values")
    strides = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, strides, writeable=False)


class _Unpickler(pickle.Unpickler):
    """Loads dicts of tensors without running code: every other global of a pickle raises an error."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and (name in DTYPES or OTHER_TYPES.fullmatch(name)):
            return name
        allowed = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: _Tensor(
                storage, offset, size, stride
            ),
            ("torch._utils", "_rebuild_tensor_v3"): lambda *parts: _Unreadable(str(parts[6])),
            ("torch._utils", "_rebuild_qtensor"): lambda *_: _Unreadable("quantised"),
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it imports {module}.{name}, which is not part of a state dict")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, _ = pid
        if not (type(kind) is str and type(key) is str):
            raise pickle.UnpicklingError("expected a name for each storage")
        return _Storage(kind, key)


def _select_state_dict(state: Any, ema: bool | None, path: Path) -> Any:
    """The state dict of a training checkpoint that `ema` selects; other contents are returned as they are."""
    for raw, averaged in WRAPPED if isinstance(state, dict) else ():
        keys = [key for key in (raw, averaged) if isinstance(state.get(key), dict)]
        if not keys:
            continue
        if len(keys) == 2 and ema is None:
            reason = f"{path.name} has raw weights ({raw!r}) and averaged ones ({averaged!r})"
            raise AmbiguousWeights(f"{reason}; expected ema=False or ema=True")
        key = keys[0] if ema is None else averaged if ema else raw
        if key not in keys:
            raise UnexpectedContents(f"{path.name} has only {keys[0]!r}; expected {key!r} for ema={ema}")
        return state[key]
    if ema:
        raise UnexpectedContents(no_averaged_weights(path))
    return state


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """Contents of a member. PyTorch does not compress, so a member longer than the file is a zip bomb."""
    if (size := archive.getinfo(name).file_size) > path.stat().st_size:
        raise ValueError(f"{name} has {size:,} bytes by its header, more than the file")
    return archive.read(name)


def _unpickled(data: bytes) -> Any:
    """The loaded pickle, after a check of its memo: five bytes can allocate room for 2**32 objects."""
    for code, value, _ in pickletools.genops(data):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= (value or 0) <= len(data):
            raise pickle.UnpicklingError(f"a memo of {value:,} objects in {len(data):,} bytes")
    return _Unpickler(io.BytesIO(data)).load()


def _arrays(state: dict[str, _Tensor], archive: zipfile.ZipFile, root: str, path: Path) -> dict[str, np.ndarray]:
    storages: dict[_Storage, np.ndarray] = {}
    arrays = {}
    for name, tensor in state.items():
        storage = tensor.storage
        if type(storage) is not _Storage:
            raise ValueError(f"tensor {name!r} has no storage")
        if storage not in storages:
            values = _member(archive, f"{root}/data/{storage.key}", path)
            storages[storage] = np.frombuffer(values, DTYPES[storage.kind])
        arrays[name] = _array(storages[storage], tensor.offset, tensor.size, tensor.stride)
    return arrays
