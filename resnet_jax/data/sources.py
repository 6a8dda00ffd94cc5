"""Sources: batches as a pure function of (seed, step)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Protocol

import numpy as np

from resnet_jax.types import Batch


class Source(Protocol):
    """Where examples come from."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def num_examples(self) -> int: ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """[H, W, C] of the images it serves."""
        ...

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, of values in [0, 1]."""
        ...

    def batches(self, seed: int, start_step: int = 0, *, batch_size: int) -> Iterator[Batch]:
        """Training batches without end, from batch `start_step` on. Batch k depends on (seed, k) alone."""
        ...

    def eval_batches(self, batch_size: int) -> Iterator[Batch]:
        """Every example once, in order; the last batch is filled up with examples of mask 0."""
        ...


@dataclass(frozen=True, eq=False)
class InMemory:
    """A set that fits in memory: images uint8 [n, H, W, C], labels int32 [n].

    An epoch is a permutation of the set; what is left of it after the last whole batch waits for the next epoch's.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        n, classes = len(self.images), len(self.classes)
        if self.images.ndim != 4 or self.labels.shape != (n,):
            raise ValueError(f"wanted images [n, H, W, C] and labels [n]; got {self.images.shape}, {self.labels.shape}")
        if n and not 0 <= self.labels.min() <= self.labels.max() < classes:
            raise ValueError(f"labels of {classes} classes are 0 to {classes - 1}; got {np.unique(self.labels)}")

    @property
    def num_examples(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.images.shape[1:]

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, of values in [0, 1]."""
        levels, channels = np.arange(256) / 255, range(self.images.shape[-1])
        shares = [np.bincount(self.images[..., c].ravel(), minlength=256) / self.images[..., c].size for c in channels]
        means = [float(share @ levels) for share in shares]
        variances = [float(share @ (levels - mean) ** 2) for share, mean in zip(shares, means, strict=True)]
        return tuple(means), tuple(math.sqrt(variance) or 1.0 for variance in variances)  # 1 for a constant channel

    def batches(self, seed: int, start_step: int = 0, *, batch_size: int) -> Iterator[Batch]:
        per_epoch = self.num_examples // batch_size
        if not per_epoch:
            raise ValueError(f"a batch of {batch_size} from {self.num_examples} examples; wanted: at most that many")
        order = lru_cache(maxsize=1)(lambda epoch: np.random.default_rng((seed, epoch)).permutation(self.num_examples))
        for step in count(start_step):
            epoch, first = step // per_epoch, step % per_epoch * batch_size
            yield self._batch(order(epoch)[first : first + batch_size], batch_size)

    def eval_batches(self, batch_size: int) -> Iterator[Batch]:
        for first in range(0, self.num_examples, batch_size):
            yield self._batch(np.arange(first, min(first + batch_size, self.num_examples)), batch_size)

    def _batch(self, index: np.ndarray, batch_size: int) -> Batch:
        mask = np.arange(batch_size) < len(index)
        index = np.resize(index, batch_size)
        return {"image": self.images[index], "label": self.labels[index], "mask": mask.astype(np.float32)}
