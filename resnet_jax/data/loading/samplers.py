"""Which examples make each training batch: a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np

from resnet_jax.data.sources.label_kinds import are_texts

WHOLE = (0, 1)  # the first and only share of a batch


class ShuffleSampler:
    """Indices of each batch: an epoch is a permutation of the set, without the rest that does not fill a batch."""

    def __init__(self, num_examples: int, seed: int, batch_size: int) -> None:
        """Raises ValueError for a batch larger than the set."""
        self._per_epoch, self._batch_size = num_examples // batch_size, batch_size
        if not self._per_epoch:
            raise ValueError(f"a batch of {batch_size} from {num_examples} examples; expected at most {num_examples}")
        # Two epochs: readers that work ahead cross from one into the next.
        self._epoch = lru_cache(maxsize=2)(lambda e: np.random.default_rng((seed, e)).permutation(num_examples))

    def epoch(self, number: int) -> np.ndarray:
        """Indices of all examples in the order of an epoch: int [n]."""
        return self._epoch(number)

    def batch(self, step: int) -> np.ndarray:
        """Indices of the examples of batch `step`: int [batch_size]."""
        first = step % self._per_epoch * self._batch_size
        return self._epoch(step // self._per_epoch)[first : first + self._batch_size]

    def example(self, number: int) -> int:
        """Index of the run's `number`-th example."""
        return int(self.batch(number // self._batch_size)[number % self._batch_size])


class BalancedSampler(ShuffleSampler):
    """The same with each class equally often: an epoch is as long, and the classes' shares differ by at most one.

    The examples of a class come in one permutation after the other, over all epochs: each example of a rare class
    several times an epoch, of a frequent class once in several epochs.
    """

    def __init__(self, labels: np.ndarray, seed: int, batch_size: int) -> None:
        """`labels`: int [n]; examples with label -1, which cannot be read, are not sampled.

        Raises:
          ValueError: a batch larger than the set, or labels that are not classes.
        """
        check_balance(labels)
        super().__init__(len(labels), seed, batch_size)
        members = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
        self._epoch = lru_cache(maxsize=2)(_balanced_epochs(members, len(labels), seed))


class BucketSampler(ShuffleSampler):
    """The batches of another sampler's epochs, with examples of similar length together.

    Examples are put in order of their bucket and cut into batches, which come in a random order. With `keeps_last` the
    rest that does not fill a batch makes one too, filled up with -1. Else it is dropped: of every bucket the last ones
    of the epoch, and equally many in each epoch. So every epoch has batches of the same buckets, unless the other
    sampler has some examples more often than others.
    """

    def __init__(
        self, epochs: ShuffleSampler, buckets: np.ndarray, seed: int, batch_size: int, *, keeps_last: bool = False
    ) -> None:
        """`buckets`: int [n], that of each example."""
        count = len(buckets)
        self._per_epoch = epoch_steps(count, batch_size, keeps_last=keeps_last)
        self._batch_size, total = batch_size, self._per_epoch * batch_size

        def bucketed(epoch: int) -> np.ndarray:
            order = epochs.epoch(epoch)
            order = order[np.argsort(buckets[order], kind="stable")]
            order = order[_without_rest(buckets[order], max(0, count - total))]
            rest = np.full(total - len(order), -1, order.dtype)
            batches = np.concatenate([order, rest]).reshape(-1, batch_size)
            return batches[np.random.default_rng((seed, epoch, 2)).permutation(len(batches))].ravel()

        self._epoch = lru_cache(maxsize=2)(bucketed)


def _without_rest(buckets: np.ndarray, rest: int) -> np.ndarray:
    """Which of the examples stay, bool [n]; `buckets` are in ascending order, and each loses its share of `rest`."""
    counts = np.bincount(buckets)
    shares = counts * rest // len(buckets)
    remainders = counts * rest % len(buckets)
    shares[np.argsort(-remainders, kind="stable")[: rest - shares.sum()]] += 1
    ends = np.cumsum(counts)
    return np.arange(len(buckets)) < (ends - shares)[buckets]


def epoch_steps(num_examples: int, batch_size: int, *, keeps_last: bool = False) -> int:
    """Batches of an epoch: those that are full, or with `keeps_last` all."""
    return -(-num_examples // batch_size) if keeps_last else num_examples // batch_size


def _balanced_epochs(members: list[np.ndarray], length: int, seed: int) -> Callable[[int], np.ndarray]:
    """epoch -> int [length], from the indices of each class's examples."""
    share, extra = divmod(length, len(members))
    # Permutations of a rare class are made many at a time: a generator costs as much as a thousand numbers of it.
    members = [np.tile(index, (-(-1000 // len(index)), 1)) for index in members]

    @lru_cache(maxsize=4 * len(members))
    def permutations(label: int, number: int) -> np.ndarray:
        return np.random.default_rng((seed, label, number, 1)).permuted(members[label], axis=1).ravel()

    def served(label: int, epochs: int) -> int:
        """Examples of the class in this number of epochs: the remainder goes round the classes."""
        return epochs * share + (epochs * extra + len(members) - 1 - label) // len(members)

    def sample(epoch: int) -> np.ndarray:
        parts = []
        for label, index in enumerate(members):
            place = np.arange(served(label, epoch), served(label, epoch + 1))
            for number in np.unique(place // index.size):
                parts.append(permutations(label, int(number))[place[place // index.size == number] % index.size])
        return np.concatenate(parts)[np.random.default_rng((seed, epoch)).permutation(length)]

    return sample


class Sampled(Protocol):
    """A loader as its sampler sees it. Streaming loaders may have to read every image for their labels."""

    @property
    def num_examples(self) -> int: ...

    @property
    def labels(self) -> np.ndarray: ...

    @property
    def balance(self) -> bool: ...


def training_sampler(loader: Sampled, seed: int, batch_size: int) -> ShuffleSampler:
    """The sampler of a loader's training batches."""
    if loader.balance:
        return BalancedSampler(loader.labels, seed, batch_size)
    return ShuffleSampler(loader.num_examples, seed, batch_size)


def check_balance(labels: np.ndarray) -> None:
    """Raises ValueError for labels that are not classes."""
    if labels.ndim != 1 or are_texts(labels):
        raise ValueError("balance=True is for one class per image, with label_kind='class'")


def share_rows(batch_size: int, share: tuple[int, int]) -> range:
    """Positions in a batch of its share (i, n), the i-th of n equal parts.

    Raises:
      ValueError: n does not divide the batch.
    """
    i, n = share
    if batch_size % n:
        raise ValueError(f"a batch of {batch_size} cannot be shared evenly by {n} processes")
    return range(i * batch_size // n, (i + 1) * batch_size // n)
