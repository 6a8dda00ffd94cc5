"""Files of weights -> {name: numpy array}."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read_state(path: Path) -> dict[str, np.ndarray]:
    """Every array of a .safetensors file.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not a .safetensors file, or a damaged one.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file {str(path)!r}")
    if path.suffix != ".safetensors":
        raise ValueError(f"{path.name}: weights are read from .safetensors files")
    from safetensors import SafetensorError  # here, so that a project that reads no files needs no safetensors
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path.name} is not a sound .safetensors file: {error}") from error
