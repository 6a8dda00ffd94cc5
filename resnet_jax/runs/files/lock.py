"""A lock on a run directory: one process, or job of several, trains in it at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO


@contextmanager
def locked(directory: Path) -> Iterator[str | None]:
    """Locks the directory. Yields the description of an earlier process that ended unexpectedly, or None.

    The operating system releases the lock when its process ends in any way: the file `lock` alone locks nothing.

    Raises:
      ValueError: another process holds the lock, the file system has no locks, or `lock` is not a file.
    """
    with _opened(directory / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise ValueError(f"{directory} cannot be locked: {error.strerror}; choose another --workdir") from None
            holder = _read(file) or "another process"
            raise ValueError(f"{directory} is in use by {holder}; wait for it, or choose another --workdir") from None
        previous = _read(file)
        _write(file, f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M:%S}")
        try:
            yield previous or None
        finally:
            _write(file, "")


def clear_lock(directory: Path) -> None:
    """Removes the description of this process, which holds the lock, before an expected exit without cleanup."""
    with suppress(OSError):
        os.truncate(directory / "lock", 0)


def _opened(path: Path) -> TextIO:
    try:
        if path.exists() and not path.is_file():  # opening a pipe would block
            raise OSError(errno.EINVAL, "it is not a file")
        return path.open("a+", errors="replace")
    except OSError as error:
        raise ValueError(f"{path} cannot be locked: {error.strerror}; remove it, or choose another --workdir") from None


def _read(file: TextIO) -> str:
    file.seek(0)
    return "".join(x for x in file.read(200) if x.isprintable()).strip()


def _write(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
