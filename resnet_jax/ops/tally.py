"""Counting multiply-adds where they are asked for, so that the count does not depend on how they are lowered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_record: ContextVar[Callable[[int], None] | None] = ContextVar("record", default=None)


@contextmanager
def tally_macs(record: Callable[[int], None]) -> Iterator[None]:
    """While open, calls `record(macs)` for every convolution and dense layer traced, whole batch."""
    token = _record.set(record)
    try:
        yield
    finally:
        _record.reset(token)


def add_macs(macs: int) -> None:
    record = _record.get()
    if record is not None:
        record(macs)
