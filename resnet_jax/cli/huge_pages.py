"""Large pages for the memory of a command on Linux: a training step on a CPU takes a tenth to a third less time."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
SETTING = "glibc.malloc.hugetlb=1"
STARTED = "started_again"  # an option -X of Python: it stays where a wrapper or the loader removes VARIABLE
OLDEST = (2, 35)  # version of glibc that has the setting
KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages() -> None:
    """Starts this program again, in the same process, with SETTING where that makes it faster; once, and before JAX.

    The C library reads the setting only when a process starts. Nothing happens if VARIABLE is set, even to nothing, or
    if the program that Python runs is another one, such as a notebook.
    """
    is_first = VARIABLE not in os.environ and STARTED not in sys._xoptions
    if is_first and is_own_program() and memory_has_huge_pages():
        if sys.stdout is not None:  # None: it is closed
            sys.stdout.flush()
        with suppress(OSError):  # the program runs without
            command = [sys.executable, "-X", STARTED, *sys.orig_argv[1:]]
            os.execve(sys.executable, command, os.environ | {VARIABLE: SETTING})


def is_own_program() -> bool:
    """Whether Python was started for this program, from a file that it can read again, and has done nothing else yet.

    A script from a pipe is read once: started again, Python would run nothing, and end without an error.
    """
    count = len(sys.argv) - 1
    script, arguments = sys.orig_argv[: len(sys.orig_argv) - count], sys.orig_argv[len(sys.orig_argv) - count :]
    if not script or "-m" in script[:-2]:  # the second: a program that runs programs, such as pdb
        return False
    names = {script[-1], f"{script[-1].replace('.', '/')}/__main__.py"}
    is_script = any(sys.argv[0] == name or sys.argv[0].endswith(f"/{name}") for name in names)
    is_file = script[-1] != "-" and Path(sys.argv[0]).is_file()
    is_new = threading.active_count() == 1 and "jax" not in sys.modules
    return is_script and is_file and is_new and arguments == sys.argv[1:]


def memory_has_huge_pages() -> bool:
    """Whether the kernel gives large pages to programs that ask, and the C library can ask."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        asks = "[madvise]" in KERNEL.read_text()
    except (ValueError, OSError, AttributeError):  # another system
        return False
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    return asks and name == "glibc" and numbers >= OLDEST
