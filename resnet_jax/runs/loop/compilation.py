"""Caches compiled programs on disk."""

from __future__ import annotations

import os
import warnings

import jax

from resnet_jax.files import expanded

SHORTEST = 0.05  # seconds of compilation from which on a program is kept; JAX's default is 1
THRESHOLD = "jax_persistent_cache_min_compile_time_secs"


def cache_compilations() -> None:
    """Keeps compiled programs in the user's cache directory, unless a directory is configured already.

    Programs of `SHORTEST` seconds and more are kept, unless JAX's variable for that is set. Warns if the user has no
    home directory or it is not writable.
    """
    if THRESHOLD.upper() not in os.environ:
        jax.config.update(THRESHOLD, SHORTEST)
    if jax.config.values["jax_compilation_cache_dir"]:
        return
    named = os.environ.get("XDG_CACHE_HOME")
    root = expanded(named or "~/.cache")
    directory = root / "resnet_jax" / "jax"
    try:
        if not root.is_absolute():  # ~ is not expanded without a home directory
            relative = f"XDG_CACHE_HOME: expected an absolute path, got {named!r}"
            raise OSError(relative if named else "there is no home directory")
        directory.mkdir(parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise OSError(f"{directory} is not writable")
    except OSError as error:
        problem = f"compiled programs are not cached for the next start: {error}"
        warnings.warn(f"{problem}; JAX_COMPILATION_CACHE_DIR names another directory", stacklevel=2)
        return
    jax.config.update("jax_compilation_cache_dir", str(directory))
