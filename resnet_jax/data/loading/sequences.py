"""The loader of sequences: series, sounds and texts of unequal lengths, in a few buckets.

A batch: image, what the preprocessing reads, float32 [N, L, C] or int32 [N, L], zeros behind each example; lengths
int32 [N], where the examples of the data set differ in length or a batch is filled up; label, of transcripts int32
[N, T], 0 behind their label_lengths int32 [N]; mask float32 [N]; example int32 [N], the example's index in the source,
-1 for an example that fills up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from threading import Lock
from typing import Any

import numpy as np

from resnet_jax.data.loading.samplers import (
    WHOLE,
    BucketSampler,
    ShuffleSampler,
    share_rows,
    training_sampler,
)
from resnet_jax.data.loading.threads import in_threads
from resnet_jax.data.sources.label_kinds import Label, compact, label_of, transcript_ids
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.data.sources.subsets import known_labels, labels_of
from resnet_jax.errors import DataError
from resnet_jax.inputs import SequencePreprocess
from resnet_jax.inputs.protocol import padded
from resnet_jax.types import Batch, DataKind

CACHE = 2**31  # bytes of decoded examples that a loader holds at most
LEAST_GAIN = 1.1  # a bucket must be this much shorter than the next one: each costs a compilation
WIDEST = 2**62


@dataclass(frozen=True, eq=False)
class SequenceLoader:
    """Sequences in batches of few lengths, the same in every epoch, so that nothing is compiled after the first.

    Examples are put in `buckets` by their length. A batch of training has examples of one bucket, or of two that
    follow each other, and is padded to the end of the longer one.

    An example that cannot be read stops the run; with `skip_unreadable` it is recorded in `skipped`, training gets the
    next one that is no longer, and evaluation ignores it. Read examples are held in memory, up to 2 GiB.
    """

    examples: DataSource
    preprocess: SequencePreprocess
    buckets: int = 4  # at most
    keeps_last: bool = False  # an epoch ends with a batch that is not full; see `BucketSampler`
    balance: bool = False  # training batches have each class equally often
    threads: int | None = None  # None: one per processor
    skip_unreadable: bool = False
    cache: int = CACHE
    skipped: dict[str, str] = field(default_factory=dict)
    _read: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _labels: dict[int, Label] = field(default_factory=dict, init=False, repr=False)  # of examples that were read
    _held: list[int] = field(default_factory=lambda: [0], init=False, repr=False)  # bytes of them
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.examples.classes

    @property
    def num_examples(self) -> int:
        return len(self.examples)

    @property
    def kind(self) -> DataKind:
        return self.preprocess.kind

    @property
    def input_dtype(self) -> Any:
        return self.preprocess.dtype

    def model_options(self) -> dict[str, Any]:
        return self.preprocess.model_options()

    def name(self, index: int) -> str:
        return self.examples.name(index)

    @cached_property
    def labels(self) -> np.ndarray:
        """int [n], float32 [n, K], or str [n]."""
        return labels_of(self.examples, skip_unreadable=self.skip_unreadable)

    @cached_property
    def lengths(self) -> np.ndarray:
        """int [n]; 0 for an example that cannot be read."""
        if (fixed := self.preprocess.fixed_length) is not None:
            return np.full(self.num_examples, fixed)

        def length(index: int) -> int:
            try:
                return self.preprocess.length(self.examples[index][0], self.name(index))
            except DataError as error:
                self._skip(index, error)
                return 0

        return np.array(list(in_threads(length, self.num_examples, threads=self.threads)), int)

    @cached_property
    def ends(self) -> np.ndarray:
        """The length to which each bucket is padded, in ascending order: int [buckets]."""
        lengths = np.sort(self.lengths)
        if not lengths[-1]:
            raise self._nothing_to_read()
        shares = np.arange(1, self.buckets + 1) / self.buckets
        ends = np.unique(lengths[np.ceil(shares * len(lengths)).astype(int) - 1])
        chosen = [int(ends[-1])]
        for end in ends[-2::-1].tolist():
            if end and end * LEAST_GAIN <= chosen[-1]:
                chosen.append(end)
        return np.array(chosen[::-1])

    @property
    def has_lengths(self) -> bool:
        """Whether batches have the length of each example."""
        return self.keeps_last or (self.preprocess.fixed_length is None and len(np.unique(self.lengths)) > 1)

    @property
    def length(self) -> int:
        """The greatest length."""
        return int(self.ends[-1])

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of the net's input for the longest example, with the channels of a series or a spectrogram."""
        channels = self.model_options().get("in_channels")
        return (*self.spatial_shape, *(() if channels is None else (channels,)))

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        return self.preprocess.spatial_shape(self.length)

    def order(self, seed: int, batch_size: int) -> ShuffleSampler:
        if len(self.ends) == 1 and not self.keeps_last:
            return training_sampler(self, seed, batch_size)
        epochs = training_sampler(self, seed, min(batch_size, self.num_examples) if self.keeps_last else batch_size)
        buckets = np.searchsorted(self.ends, self.lengths)
        return BucketSampler(epochs, buckets, seed, batch_size, keeps_last=self.keeps_last)

    def batches(
        self, seed: int, start_step: int = 0, *, batch_size: int, share: tuple[int, int] = WHOLE
    ) -> Iterator[Batch]:
        sampler, places = self.order(seed, batch_size), np.array(share_rows(batch_size, share))

        def read(step: int) -> Batch:
            index = sampler.batch(start_step + step)
            return self._batch(index, places, (seed, (start_step + step) * batch_size))

        if self._holds_all:
            return map(read, count())
        return in_threads(read, WIDEST, threads=self.threads, ahead=2)

    def eval_batches(self, batch_size: int, *, share: tuple[int, int] = WHOLE) -> Iterator[Batch]:
        """Every example once, those of a bucket together; the last batch is filled up with examples of mask 0."""
        places = np.array(share_rows(batch_size, share))
        order = np.argsort(np.searchsorted(self.ends, self.lengths), kind="stable")
        batches = -(-len(order) // batch_size)
        order = np.append(order, np.full(batches * batch_size - len(order), -1))

        def read(step: int) -> Batch:
            return self._batch(order[step * batch_size : (step + 1) * batch_size], places, None)

        return in_threads(read, batches, threads=self.threads, ahead=2)

    @property
    def _holds_all(self) -> bool:
        return len(self._read) == self.num_examples

    def _batch(self, index: np.ndarray, places: np.ndarray, training: tuple[int, int] | None) -> Batch:
        """The share `places` of the batch of examples `index`, -1: none; `training`: seed and the first's number."""
        used = index[index >= 0]
        end = int(self.ends[np.searchsorted(self.ends, self.lengths[used].max(initial=0))])
        rows = [self._row(int(index[place]), end, training, int(place)) for place in places]
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        if not self.has_lengths:
            del batch["lengths"]
        return batch

    def _row(self, index: int, end: int, training: tuple[int, int] | None, place: int) -> dict[str, Any]:
        at = index
        for further in range(self.num_examples if training is not None and index >= 0 else 1):
            at = (index + further) % self.num_examples if index >= 0 else -1
            if at >= 0 and self.lengths[at] <= end and (example := self.example(at)) is not None:
                return self._filled(self.preprocess.fit(example, _generator(training, place)), end, at)
        if training is not None and index >= 0:
            raise self._nothing_to_read()
        return self._padding(end)

    def _filled(self, example: np.ndarray, end: int, index: int) -> dict[str, Any]:
        if len(example) > end:
            problem = f"expected a length of at most {end:,}, as when the data was opened, got {len(example):,}"
            raise DataError(f"{self.name(index)}: {problem}; the file has changed")
        row: dict[str, Any] = {"image": padded([example], end)[0], "lengths": np.int32(len(example))}
        row |= {"mask": np.float32(1), "example": np.int32(index)}
        label = self._label(index)
        if not isinstance(label, str):
            return row | {"label": compact(np.asarray([label]))[0]}
        ids = transcript_ids(label, self.classes, self.name(index))
        return row | {"label": padded([ids], self._longest_transcript)[0], "label_lengths": np.int32(len(ids))}

    def _label(self, index: int) -> Label:
        """A label, without reading its example again, which may be a large file."""
        if self._known_labels is not None:
            return label_of(self._known_labels, index)
        return self._labels[index] if index in self._labels else self.examples[index][1]

    @cached_property
    def _known_labels(self) -> np.ndarray | None:
        return known_labels(self.examples)

    def _padding(self, end: int) -> dict[str, Any]:
        """A row of mask 0."""
        row = {name: np.zeros_like(x) for name, x in self._filled(self._first[:0], end, 0).items()}
        return row | {"example": np.int32(-1)}

    @cached_property
    def _longest_transcript(self) -> int:
        return max(1, *map(len, self.labels.tolist()), 1)

    @cached_property
    def _first(self) -> np.ndarray:
        """Some example."""
        for index in range(self.num_examples):
            if (example := self.example(index)) is not None:
                return example
        raise self._nothing_to_read()

    def example(self, index: int) -> np.ndarray | None:
        """An example as `read` returns it. None: it cannot be read, and is skipped."""
        if (example := self._read.get(index)) is not None:
            return example
        try:
            item, self._labels[index] = self.examples[index]
            example = self.preprocess.read(item, self.name(index))
        except DataError as error:
            self._skip(index, error)
            return None
        with self._lock:
            if index not in self._read and self._held[0] + example.nbytes <= self.cache:
                self._read[index] = example
                self._held[0] += example.nbytes
        return example

    def _skip(self, index: int, error: DataError) -> None:
        if not self.skip_unreadable:
            raise error
        self.skipped[self.name(index)] = str(error)

    def _nothing_to_read(self) -> DataError:
        last_reason = next(reversed(self.skipped.values()), "")
        return DataError(f"none of {self.num_examples} examples could be read; the last: {last_reason}")


def _generator(training: tuple[int, int] | None, place: int) -> np.random.Generator | None:
    """Random numbers of a place in a training batch; None in evaluation."""
    if training is None:
        return None
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((training[0], training[1] + place))))
