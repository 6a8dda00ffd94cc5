"""Paths as users type them, and files that survive a crash. It needs the standard library alone."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from resnet_jax.errors import check_type


def expanded(path: str | Path) -> Path:
    """The path with ~ replaced by the home directory; unchanged if there is no such user.

    Raises:
      TypeError: not a path.
      ValueError: an empty path, which would be the current directory, or one with a null character.
    """
    check_type(path, (str, os.PathLike), "a path (str or Path)")
    if "\0" in str(path):
        raise ValueError(f"expected a path, got {str(path)!r}, which has a null character")
    if not str(path):
        raise ValueError("expected a file or a folder, as . for the current one, got an empty path")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def check_inside(path: Path, folder: Path) -> None:
    """Raises ValueError if a path leads out of a folder, by `..` or by a symbolic link, or to something but a file."""
    target = path.resolve()
    if not target.is_relative_to(folder.resolve()):
        raise ValueError(f"{path.name} leads out of {str(folder)!r}, to {str(target)!r}")
    if target.exists() and not target.is_file():
        raise ValueError(f"{path.name} is a folder or a device; expected a file")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(value: Any, indent: int | None = None) -> str:
    """The value as JSON, with null for floats that are NaN or infinite: JSON has no such numbers."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def check_writable(file: Path) -> None:
    """Makes the folder of a file. Raises ValueError if no file can be written there."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise ValueError(f"{str(file)!r} cannot be written: {error.strerror}") from None


def replace_file(file: Path, text: str | bytes) -> None:
    """Replaces a file atomically; see `replaced`."""
    with replaced(file) as new:
        new.write(text.encode("utf-8", errors="backslashreplace") if isinstance(text, str) else text)


@contextmanager
def replaced(file: Path) -> Iterator[BinaryIO]:
    """A new file that replaces `file` when the context ends; after an error the old one stays, and nothing else.

    After a crash the old or the new contents are on disk, whole.

    Raises:
      OSError: it cannot be written.
    """
    new = file.with_name(f"{file.name}.new")
    try:
        with new.open("wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        move_into_place(new, file)
    except BaseException as error:
        with suppress(OSError):
            new.unlink()
        if isinstance(error, OSError) and error.filename is None:  # a full disk is reported without it
            error.filename = str(file)
        raise


def move_into_place(new: Path, file: Path) -> None:
    """Renames a file that is on disk whole, so that this survives a crash; `file` is replaced atomically.

    Raises:
      OSError: it cannot be renamed.
    """
    os.replace(new, file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
