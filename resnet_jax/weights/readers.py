"""Files of weights -> {name: numpy array}. PyTorch is not needed, and no code in a file is run."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np


def read_state(path: Path) -> dict[str, np.ndarray]:
    """Every array of a .safetensors file, or of the state dict in a .pth, .pt or .bin file that PyTorch wrote.

    Raises:
      FileNotFoundError: no such file.
      ValueError: another kind of file, a damaged one, or one that holds more than a state dict.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {str(path)!r}")
    if path.suffix not in READERS:
        raise ValueError(f"{path.name}: weights are read from {', '.join(READERS)} files")
    return READERS[path.suffix](path)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError  # here, so that a project that reads no files needs no safetensors
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path.name} is not a sound .safetensors file: {error}") from error


DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def _tensor(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= len(storage)):
        raise pickle.UnpicklingError(f"a tensor reaches beyond its storage of {len(storage)} values")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()


class _Unpickler(pickle.Unpickler):
    """Builds arrays and dicts, and refuses every other global that a pickle may ask for."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return np.dtype(DTYPES[name])
        allowed = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no part of a state dict")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, dtype, key, _, _ = pid
        return np.frombuffer(self._archive.read(f"{self._root}/data/{key}"), dtype)


def _torch(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(pickled) as file:
                state = _Unpickler(file, archive, pickled.removesuffix("/data.pkl")).load()
    except zipfile.BadZipFile:
        raise ValueError(f"{path.name} is not a whole zip archive, as PyTorch writes since 1.6") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path.name} is not a sound PyTorch state dict: {error or type(error).__name__}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, np.ndarray) for value in state.values()):
        raise ValueError(f"{path.name} holds more than a state dict of tensors")
    return dict(state)


READERS = {".safetensors": _safetensors, ".pth": _torch, ".pt": _torch, ".bin": _torch}
