"""Files of weights -> {name: numpy array}, and a writer. PyTorch is not needed, and no code in a file is run."""

from __future__ import annotations

import io
import math
import os
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import AmbiguousWeights, UnexpectedContents, listed
from resnet_jax.moved import renamed_names

WEIGHT_FILES = ".safetensors or .pth, of timm or torchvision; none is downloaded"  # for messages


def read_state(path: Path, ema: bool | None = None) -> dict[str, np.ndarray]:
    """Every array of a .safetensors file, or of the state dict in a .pth, .pt or .bin file that PyTorch wrote.

    Args:
      ema: of a training checkpoint, its averaged weights ("state_dict_ema", "model_ema") or its raw ones ("state_dict",
        "model"); None: those that it has.

    Raises:
      FileNotFoundError: no such file.
      AmbiguousWeights: it has both, and `ema` is None.
      ValueError: another kind of file, a corrupted one, one that holds more than a state dict, arrays that are
        quantised or float8, or no averaged weights where those are asked for.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file {str(path)!r}; expected a file of weights ({WEIGHT_FILES})")
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is a folder or a device; wanted: a file of weights")
    if path.suffix not in READERS:
        raise ValueError(f"{path.name}: weights are read from {', '.join(READERS)} files")
    return READERS[path.suffix](path, ema)


def _safetensors(path: Path, ema: bool | None) -> dict[str, np.ndarray]:
    # Here, so that a project that reads no files needs no safetensors.
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    if ema:
        raise ValueError(_no_averages(path))
    try:
        return load_file(path)
    except AttributeError:  # NumPy has no type for some
        with safe_open(path, "np") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}
        odd = [f"{name} ({kind})" for name, kind in kinds.items() if not NUMPY_TYPES.fullmatch(kind)]
        raise ValueError(f"{path.name}: {not_floating(odd)}") from None
    except (SafetensorError, ValueError) as error:  # the second of shapes that NumPy cannot have
        raise ValueError(f"{path.name} is not a sound .safetensors file: {error}") from error


def write_safetensors(state: dict[str, np.ndarray], path: Path) -> None:
    """Replaces the file in one move, so that it is never half written."""
    from safetensors.numpy import save_file

    new = path.with_name(f"{path.name}.new")
    save_file({name: np.asarray(value, order="C") for name, value in state.items()}, new, metadata={"format": "pt"})
    os.replace(new, path)


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
# What PyTorch names beside them in files of quantised and very short numbers, which are not read.
OTHER_TYPES = re.compile(r"(q|per_|float|complex)\w+|u?int\d+|Q\w+Storage|UntypedStorage")
NUMPY_TYPES = re.compile(r"BOOL|BF16|F16|F32|F64|[IUC]\d+")  # of .safetensors
# The state dicts in a training checkpoint: raw weights, averaged weights.
WRAPPED = (("state_dict", "state_dict_ema"), ("model", "model_ema"))


class _Storage(NamedTuple):
    """What a file calls the values that tensors are cut from. These two are plain data, which a pickle cannot change;
    of an array, or even of NumPy's one float32, it could."""

    kind: str
    key: str


class _Unreadable(NamedTuple):
    """A tensor of a type that is not read."""

    kind: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _array(values: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """The tensor that is cut so from a storage's values [n]; no copy, since a thousand may be cut from one."""
    if not all(type(n) is int for n in (offset, *size, *stride)):
        raise ValueError("a tensor's shape is not of whole numbers")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    count = math.prod(size)
    # By strides of 0 a tensor could be of any size.
    if min((offset, *size, *stride)) < 0 or count > len(values) or (count and last >= len(values)):
        raise ValueError(f"a tensor reaches beyond its storage of {len(values)} values")
    strides = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, strides, writeable=False)


class _Unpickler(pickle.Unpickler):
    """Builds dicts, and says which tensors are in them; refuses every other global that a pickle may ask for."""

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
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no part of a state dict")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, _ = pid
        if not (type(kind) is str and type(key) is str):
            raise pickle.UnpicklingError("a storage without a name")
        return _Storage(kind, key)


def _no_averages(path: Path) -> str:
    return f"{path.name} has no averaged weights; expected ema=None or ema=False"


def _select_state_dict(state: Any, ema: bool | None, path: Path) -> Any:
    """The state dict in a training checkpoint that `ema` asks for; anything else is returned as it is."""
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
        raise UnexpectedContents(_no_averages(path))
    return state


def _torch(path: Path, ema: bool | None) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            if pickled is None:
                raise ValueError("there is no data.pkl in it")
            state = _select_state_dict(_unpickled(_member(archive, pickled, path)), ema, path)
            if not isinstance(state, dict) or not all(
                type(name) is str and type(tensor) in (_Tensor, _Unreadable) for name, tensor in state.items()
            ):
                raise UnexpectedContents(f"{path.name} holds more than a state dict of tensors")
            if odd := [f"{name} ({x.kind})" for name, x in state.items() if type(x) is _Unreadable]:
                raise UnexpectedContents(f"{path.name}: {not_floating(odd)}")
            return _arrays(state, archive, pickled.removesuffix("/data.pkl"), path)
    except AmbiguousWeights:
        raise
    except UnexpectedContents as error:
        raise ValueError(str(error)) from None
    except zipfile.BadZipFile:
        raise ValueError(f"{path.name} is not a whole zip archive, as PyTorch writes since 1.6") from None
    except Exception as error:  # a damaged pickle can raise anything
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path.name} is not a sound PyTorch state dict: {said}") from error


def not_floating(arrays: list[str]) -> str:
    """The error for arrays, "name (type)" each, that are not floating point."""
    return f"expected floating-point weights, got {listed(arrays, 3)}; quantised weights must be dequantised first"


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """PyTorch compresses nothing, so no part is longer than the whole; in other zips it may be by far."""
    if (size := archive.getinfo(name).file_size) > path.stat().st_size:
        raise ValueError(f"{name} claims {size:,} bytes, more than the file has")
    return archive.read(name)


def _unpickled(data: bytes) -> Any:
    """Looked through before it is loaded: a pickle may ask for room for 2**32 objects in five bytes."""
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


READERS = {".safetensors": _safetensors, ".pth": _torch, ".pt": _torch, ".bin": _torch}


if not TYPE_CHECKING:  # names of version 0.1.0
    __getattr__ = renamed_names(__name__, {"RawAndAveraged": "errors.AmbiguousWeights"})
