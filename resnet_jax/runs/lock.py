"""One run, one trainer: a lock on its folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO


@contextmanager
def locked(folder: Path) -> Iterator[str | None]:
    """Keeps other processes from training in `folder`. Gives what a holder that died has left in the lock, or None.

    The operating system opens the lock when its process ends, however it ends: `folder`/lock alone says nothing.

    Raises:
      ValueError: another process has it, the file system has no locks, or there is something else of its name.
    """
    with _opened(folder / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise ValueError(f"{folder} cannot be locked: {error.strerror}; choose a --workdir that can") from None
            holder = _read(file) or "another process"
            raise ValueError(f"{folder} is in use by {holder}; wait for it, or choose another --workdir") from None
        left = _read(file)
        _write(file, f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M:%S}")
        try:
            yield left or None
        finally:
            _write(file, "")


def _opened(path: Path) -> TextIO:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
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
