"""Reads a file of weights as {name: NumPy array}. PyTorch is not needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resnet_jax.moved import renamed_names
from resnet_jax.weights.safetensors_file import read_safetensors
from resnet_jax.weights.torch_file import read_torch

WEIGHT_FILES = ".safetensors or .pth, of timm or torchvision; none is downloaded"  # for messages
READERS = {".safetensors": read_safetensors, ".pth": read_torch, ".pt": read_torch, ".bin": read_torch}


def read_state(path: Path, ema: bool | None = None) -> dict[str, np.ndarray]:
    """Every array of a .safetensors file, or of the state dict in a .pth, .pt or .bin file that PyTorch wrote.

    Args:
      ema: True reads the averaged weights of a training checkpoint ("state_dict_ema", "model_ema"), False the raw ones
        ("state_dict", "model"), None the only ones.

    Raises:
      FileNotFoundError: no such file.
      AmbiguousWeights: it has both, and `ema` is None.
      ValueError: another kind of file, a corrupted file, contents other than a state dict, quantised or float8 arrays,
        or no averaged weights with `ema=True`.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file {str(path)!r}; expected a file of weights ({WEIGHT_FILES})")
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is a folder or a device; expected a file of weights ({WEIGHT_FILES})")
    if path.suffix not in READERS:
        raise ValueError(f"expected a file of weights ({', '.join(READERS)}), got {path.name}")
    return READERS[path.suffix](path, ema)


if not TYPE_CHECKING:  # names of version 0.1.0
    __getattr__ = renamed_names(
        __name__,
        {
            "RawAndAveraged": "errors.AmbiguousWeights",
            "write_safetensors": "weights.safetensors_file.write_safetensors",
        },
    )
