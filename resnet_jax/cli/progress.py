"""Progress of a command on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def progress_printer(nouns: str) -> Callable[[int, int], None]:
    """A function that prints how many images, or others, of how many are read: over one line of a terminal, rarely in a
    log.
    """
    is_terminal = sys.stderr.isatty()
    started = printed = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal printed
        now = time.monotonic()
        if done == total and is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        elif now - printed > (0.2 if is_terminal else 30):
            printed = now
            line = f"{done:,} of {total:,} {nouns} read, {done / (now - started):,.0f} a second"
            end = "" if is_terminal else "\n"
            print(f"\r{line}\x1b[K" if is_terminal else line, end=end, file=sys.stderr, flush=True)

    return report
