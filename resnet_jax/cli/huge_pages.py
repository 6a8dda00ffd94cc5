"""Large pages for the memory of a command on Linux: a training step on a CPU takes a tenth to a third less time."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
SETTING = "glibc.malloc.hugetlb=1"
OLDEST = (2, 35)  # version of glibc that has the setting
KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages() -> None:
    """Starts this program again, in the same process, with SETTING where that makes it faster; once, and before JAX.

    The C library reads the setting only when a process starts. Nothing happens if VARIABLE is set, even to nothing, or
    if the program that Python runs is another one, such as a notebook.
    """
    if VARIABLE not in os.environ and is_own_program() and memory_has_huge_pages():
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {VARIABLE: SETTING})


def is_own_program() -> bool:
    """Whether Python was started for this program, and has done nothing else yet."""
    count = len(sys.argv) - 1
    script, arguments = sys.orig_argv[: len(sys.orig_argv) - count], sys.orig_argv[len(sys.orig_argv) - count :]
    names = {script[-1], f"{script[-1].replace('.', '/')}/__main__.py"} if script else set()
    is_script = any(sys.argv[0] == name or sys.argv[0].endswith(f"/{name}") for name in names)
    return is_script and arguments == sys.argv[1:] and threading.active_count() == 1 and "jax" not in sys.modules


def memory_has_huge_pages() -> bool:
    """Whether the kernel gives large pages to programs that ask, and the C library can ask."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        asks = "[madvise]" in KERNEL.read_text()
    except (ValueError, OSError, AttributeError):  # another system
        return False
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    return asks and name == "glibc" and numbers >= OLDEST
