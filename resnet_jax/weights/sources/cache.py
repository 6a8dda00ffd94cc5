"""The cache of downloaded files of weights, and locks on its files."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_jax.files import expanded

VARIABLE = "RESNET_JAX_CACHE"


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """`cache_dir`, $RESNET_JAX_CACHE, $XDG_CACHE_HOME/resnet_jax or ~/.cache/resnet_jax: the first that is set."""
    if cache_dir is not None:
        return expanded(cache_dir)
    if folder := os.environ.get(VARIABLE):
        return expanded(folder)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "resnet_jax"


def is_offline() -> bool:
    """Whether $HF_HUB_OFFLINE forbids downloads, here as for huggingface_hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Locks a file that need not exist; waits while another process holds the lock.

    The operating system releases the lock when its process ends in any way. NAME.lock stays and locks nothing.

    Raises:
      OSError: the folder cannot be written, or its file system has no locks.
    """
    with file.with_name(f"{file.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process, which downloads {file.name}", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
