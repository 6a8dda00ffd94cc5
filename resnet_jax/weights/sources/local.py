"""Weights on this machine: files, folders that are laid out as the hub's, runs and their checkpoints."""

from __future__ import annotations

from pathlib import Path


def is_checkpoint(path: Path) -> bool:
    """Whether this is the directory of a run, its `checkpoints` directory, or one step in that."""
    if not path.is_dir():
        return False
    return (path / "checkpoints").is_dir() or _is_step(path) or any(map(_is_step, path.glob("[0-9]*")))


def _is_step(path: Path) -> bool:
    return path.name.isdigit() and ((path / "state").is_dir() or (path / "meta").is_dir())
