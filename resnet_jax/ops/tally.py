"""Multiply-adds (MACs), counted by the operations themselves: the count does not depend on their lowering."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_record: ContextVar[Callable[[int, bool], None] | None] = ContextVar("record", default=None)


@contextmanager
def tally_macs(record: Callable[[int, bool], None]) -> Iterator[None]:
    """Calls `record(macs, other)` for every operation traced inside, with the MACs of the whole batch.

    `other` is False for convolutions and dense layers, which published numbers count (a kernel made for each example
    counts with its making, as in CondConv's paper), and True for what those skip: fixed filters, convolutions along the
    channels, products of activations.
    """
    token = _record.set(record)
    try:
        yield
    finally:
        _record.reset(token)


def add_macs(macs: int, *, other: bool = False) -> None:
    """Reports an operation's MACs to the innermost `tally_macs`, if one is open."""
    record = _record.get()
    if record is not None:
        record(macs, other)
