"""Reads and writes .safetensors files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from resnet_jax.files import replace_file
from resnet_jax.weights.messages import no_averaged_weights, not_floating

NUMPY_TYPES = re.compile(r"BOOL|BF16|F16|F32|F64|[IUC]\d+")  # names of the types that NumPy has


def read_safetensors(path: Path, ema: bool | None) -> dict[str, np.ndarray]:
    """Every array of the file. Raises ValueError for a corrupted file, float8 arrays, and `ema`."""
    # Imported here, so that a project that reads no files needs no safetensors.
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    if ema:
        raise ValueError(no_averaged_weights(path))
    try:
        return load_file(path)
    except AttributeError:  # a type that NumPy does not have
        with safe_open(path, "np") as file:
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}
        unreadable = [f"{name} ({type_})" for name, type_ in types.items() if not NUMPY_TYPES.fullmatch(type_)]
        raise ValueError(f"{path.name}: {not_floating(unreadable)}") from None
    except (SafetensorError, ValueError) as error:  # ValueError: shapes that NumPy cannot have
        raise ValueError(f"{path.name} is not a valid .safetensors file: {error}") from error


def write_safetensors(state: dict[str, np.ndarray], path: Path) -> None:
    """Writes the arrays; a file that is there is replaced atomically."""
    from safetensors.numpy import save

    state = {name: np.asarray(value, order="C") for name, value in state.items()}
    replace_file(path, save(state, metadata={"format": "pt"}))
