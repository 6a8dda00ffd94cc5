"""Counting multiply-adds where they are asked for, so that the count does not depend on how they are lowered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_record: ContextVar[Callable[[int, bool], None] | None] = ContextVar("record", default=None)


@contextmanager
def tally_macs(record: Callable[[int, bool], None]) -> Iterator[None]:
    """While open, calls `record(macs, other)` for what is traced, whole batch.

    `other` is False for convolutions and dense layers, which published counts are of, and True for what these leave
    out: fixed filters, convolutions along the channels, products of activations, kernels made per example.
    """
    token = _record.set(record)
    try:
        yield
    finally:
        _record.reset(token)


def add_macs(macs: int, *, other: bool = False) -> None:
    record = _record.get()
    if record is not None:
        record(macs, other)
