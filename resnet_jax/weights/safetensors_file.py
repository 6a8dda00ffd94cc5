"""Writes .safetensors files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnet_jax.files import replace_file


def write_safetensors(state: dict[str, np.ndarray], path: Path) -> None:
    """Writes the arrays; a file that is there is replaced atomically."""
    from safetensors.numpy import save  # imported here, so that a project that writes no files needs no safetensors

    state = {name: np.asarray(value, order="C") for name, value in state.items()}
    replace_file(path, save(state, metadata={"format": "pt"}))
