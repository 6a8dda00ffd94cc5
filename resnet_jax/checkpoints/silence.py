"""Silences Orbax's log lines and the noise of its failed operations."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _WithoutClosedLoops:
    """An `unraisablehook` that drops errors of a closed event loop."""

    hook: Callable[[Any], Any]

    def __call__(self, unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            self.hook(unraisable)


@contextmanager
def quiet_orbax() -> Iterator[None]:
    """Hides the log of each save, the warnings of Orbax's own defaults and stack traces of errors that it raises too.

    Parts of a failed save or read that are still running find its event loop closed, and each reports that. They may
    do so later, so after an error these reports stay hidden until the process ends.
    """
    hook, succeeded = sys.unraisablehook, False
    if not isinstance(hook, _WithoutClosedLoops):
        sys.unraisablehook = _WithoutClosedLoops(hook)
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
        succeeded = True
    finally:
        if succeeded:
            sys.unraisablehook = hook
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
