"""Writes .safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from resnet_jax.files import replace_file


def write_safetensors(state: Mapping[str, np.ndarray], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes the arrays and the metadata; a file that is there is replaced atomically."""
    from safetensors.numpy import save  # imported here, so that a project that writes no files needs no safetensors

    state = {name: np.asarray(value, order="C") for name, value in state.items()}
    replace_file(path, save(dict(state), metadata={"format": "pt", **(metadata or {})}))
