"""Reading ahead in threads, in order."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_threads(read: Callable[[int], T], length: int, *, threads: int | None, ahead: int = 0) -> Iterator[T]:
    """read(0), read(1), ..., read(length - 1), in this order for any number of threads; at least `ahead` in advance.

    `threads` None: one per processor.
    """
    threads = threads or processors()
    pool, is_finalizing = ThreadPoolExecutor(threads), sys.is_finalizing  # modules are empty at the interpreter's end
    following = iter(range(length))
    try:
        pending = deque(pool.submit(read, i) for i in islice(following, max(ahead, 4 * threads)))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(read, i) for i in islice(following, 1))
            yield result
    finally:
        if not is_finalizing():
            pool.shutdown(wait=False, cancel_futures=True)


def processors() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
