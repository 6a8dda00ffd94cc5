"""Paths as people type them, and files that survive a crash. Standard library only: every room may use it."""

from __future__ import annotations

import os
from pathlib import Path

from resnet_jax.errors import check_type


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


def replace_file(file: Path, text: str | bytes) -> None:
    """Writes a file whole: whatever happens, there is the old one or the new one, and on the disk.

    Raises:
      OSError: it cannot be written.
    """
    new = file.with_name(f"{file.name}.new")
    with new.open("wb") as opened:
        opened.write(text.encode("utf-8", errors="backslashreplace") if isinstance(text, str) else text)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(new, file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
