"""A progress bar for downloads, of one line."""

from __future__ import annotations

import sys
import time
from types import TracebackType

WIDTH, INTERVAL = 30, 0.1  # letters, seconds


class Progress:
    """Prints how much of a file there is to stderr, if that is a terminal; a context manager."""

    def __init__(self, name: str, total: int | None) -> None:
        self._name, self._total = name, total
        self._is_shown = sys.stderr.isatty()
        self._time = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_shown:
            print(file=sys.stderr)

    def update(self, done: int) -> None:
        """Shows `done` bytes, ten times a second at most, and the last ones."""
        now = time.monotonic()
        if not self._is_shown or (now - self._time < INTERVAL and done != self._total):
            return
        self._time = now
        mib = f"{done / 2**20:.1f}"
        if self._total:
            bar = "#" * (WIDTH * done // self._total)
            text = f"{self._name} [{bar:<{WIDTH}}] {mib} of {self._total / 2**20:.1f} MiB"
        else:
            text = f"{self._name} {mib} MiB"
        print(f"\r{text}", end="", file=sys.stderr, flush=True)
