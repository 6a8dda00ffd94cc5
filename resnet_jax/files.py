"""Paths as people type them. Standard library only: every room may use it."""

from __future__ import annotations

import os
from pathlib import Path

from resnet_jax.nearest import check_type


def expanded(path: str | Path) -> Path:
    """With the home folder in place of ~; as it is where there is no such user.

    Raises:
      TypeError: no path at all.
      ValueError: an empty one, which would be the current folder; one with a null character.
    """
    check_type(path, (str, os.PathLike), "a path (str or Path)")
    if "\0" in str(path):
        raise ValueError(f"expected a path, got {str(path)!r}, which has a null character")
    if not str(path):
        raise ValueError("the path is empty; expected a file or a folder, as . for the current one")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
