"""Paths as people type them. Standard library only: every room may use it."""

from __future__ import annotations

from pathlib import Path


def expanded(path: str | Path) -> Path:
    """With the home folder in place of ~; as it is where there is no such user.

    Raises:
      ValueError: an empty one, which would be the current folder.
    """
    if not str(path):
        raise ValueError("the path is empty; expected a file or a folder, as . for the current one")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
