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


@contextmanager
def locked(folder: Path) -> Iterator[str | None]:
    """Keeps other processes from training in `folder`. Gives what a holder that died has left in the lock, or None.

    The operating system opens the lock when its process ends, however it ends: `folder`/lock alone says nothing.

    Raises:
      ValueError: another process has it, or the file system has no locks.
    """
    with (folder / "lock").open("a+") as file:
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


def _read(file) -> str:
    file.seek(0)
    return file.read(200).strip()


def _write(file, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
