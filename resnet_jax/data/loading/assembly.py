"""Batches that several threads fill: each writes its examples into the arrays that are served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Lock

import numpy as np

from resnet_jax.types import Batch

PART = 8  # examples that a thread reads at a time, at most


class BatchAssembly:
    """Batches of `size` examples, in parts of `part`, of which part k is of batch k * part // size.

    No batch is copied together by the thread that trains, and threads take turns once in a part.
    """

    def __init__(self, size: int) -> None:
        self.part = next(part for part in range(min(size, PART), 0, -1) if size % part == 0)
        self.parts = size // self.part  # of a batch
        self._size, self._batches, self._lock = size, dict[int, Batch](), Lock()

    def examples(self, number: int) -> range:
        """Numbers of the examples of a part."""
        return range(number * self.part, (number + 1) * self.part)

    def write(self, number: int, rows: Iterable[Batch]) -> int:
        """Writes the examples of a part; returns the number of its batch."""
        step, first = divmod(number * self.part, self._size)
        for place, row in enumerate(rows, first):
            batch = self._arrays(step, row)
            for name, value in row.items():
                batch[name][place] = value
        return step

    def batches(self, written: Iterator[int]) -> Iterator[Batch]:
        """The batches, from the results of `write` in order."""
        for step in written:
            for _ in range(self.parts - 1):
                next(written)
            yield self._batches.pop(step)

    def _arrays(self, step: int, row: Batch) -> Batch:
        with self._lock:
            if step not in self._batches:
                shapes = {name: (self._size, *np.shape(value)) for name, value in row.items()}
                self._batches[step] = {
                    name: np.empty(shape, np.asarray(row[name]).dtype) for name, shape in shapes.items()
                }
            return self._batches[step]
