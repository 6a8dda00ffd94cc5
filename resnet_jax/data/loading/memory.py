"""Sources: batches as a pure function of (seed, step)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Protocol

import numpy as np

from resnet_jax.data.loading.decoding import largest_of_16_bits, pixels, read_image
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.label_kinds import Label, compact
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.errors import NeedsImageSize, UnreadableImage
from resnet_jax.moved import renamed_names
from resnet_jax.types import Batch

MEMORY = 2**33  # bytes of pixels that are held at most
DEPTH_SAMPLE = 8  # images whose values are looked at
WHOLE = (0, 1)  # the first and only share of a batch


class Source(Protocol):
    """Where examples come from."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def num_examples(self) -> int: ...

    @property
    def examples(self) -> DataSource:
        """As they are stored."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """[H, W, C] of the images it serves."""
        ...

    @property
    def resize(self) -> int:
        """The shorter side before evaluation's centre crop, pixels."""
        ...

    @property
    def skipped(self) -> dict[str, str]:
        """Images that could not be read so far, and why; empty unless they are to be skipped."""
        ...

    def name(self, index: int) -> str:
        """What a message calls an example: a path, or a place in a file."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """int [n]; -1 for an image that cannot be read."""
        ...

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, of values in [0, 1]."""
        ...

    def order(self, seed: int, batch_size: int) -> Order:
        """Which examples make the batches of training."""
        ...

    def batches(
        self, seed: int, start_step: int = 0, *, batch_size: int, share: tuple[int, int] = WHOLE
    ) -> Iterator[Batch]:
        """Training batches without end, from batch `start_step` on. Batch k depends on (seed, k) alone.

        A `share` (i, n) is the i-th of n equal parts of each batch: what one of n processes reads.
        """
        ...

    def eval_batches(self, batch_size: int, *, share: tuple[int, int] = WHOLE) -> Iterator[Batch]:
        """Every example once, in order; the last batch is filled up with examples of mask 0."""
        ...


class Order:
    """Which examples make batch k: an epoch is a permutation of the set, and what is left of it after the last whole
    batch waits for the next epoch's.
    """

    def __init__(self, num_examples: int, seed: int, batch_size: int) -> None:
        self._per_epoch, self._batch_size = num_examples // batch_size, batch_size
        if not self._per_epoch:
            raise ValueError(f"a batch of {batch_size} from {num_examples} examples; expected at most {num_examples}")
        # Two epochs: readers that work ahead cross from one into the next.
        self._epoch = lru_cache(maxsize=2)(lambda e: np.random.default_rng((seed, e)).permutation(num_examples))

    def batch(self, step: int) -> np.ndarray:
        """Indices of the examples of batch `step`: int [batch_size]."""
        first = step % self._per_epoch * self._batch_size
        return self._epoch(step // self._per_epoch)[first : first + self._batch_size]

    def example(self, number: int) -> int:
        """Index of the example that is the run's `number`-th."""
        return int(self.batch(number // self._batch_size)[number % self._batch_size])


def check_balance(labels: np.ndarray) -> None:
    """Raises ValueError for labels that are not classes."""
    if labels.ndim != 1:
        raise ValueError("data.balance is for one class per image, with --task classification")


class BalancedOrder(Order):
    """The same with each class equally often: an epoch is as long, and the classes' shares of it differ by one at most.

    The examples of a class come in one permutation of them after the other, over all epochs: of a rare class each
    several times an epoch, of a frequent one each once in several epochs.
    """

    def __init__(self, labels: np.ndarray, seed: int, batch_size: int) -> None:
        """`labels`: int [n]. Those of -1, of examples that cannot be read, are not served."""
        super().__init__(len(labels), seed, batch_size)
        members = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
        share, extra = divmod(len(labels), len(members))

        # Permutations of a rare class are made many at a time: a generator costs as much as a thousand numbers of it.
        members = [np.tile(own, (-(-1000 // len(own)), 1)) for own in members]

        @lru_cache(maxsize=4 * len(members))
        def permutations(label: int, number: int) -> np.ndarray:
            return np.random.default_rng((seed, label, number, 1)).permuted(members[label], axis=1).ravel()

        def served(label: int, epochs: int) -> int:
            """Examples of the class in so many epochs: what is left over goes round the classes."""
            return epochs * share + (epochs * extra + len(members) - 1 - label) // len(members)

        def draw(epoch: int) -> np.ndarray:
            found = []
            for label, own in enumerate(members):
                place = np.arange(served(label, epoch), served(label, epoch + 1))
                for number in np.unique(place // own.size):
                    found.append(permutations(label, int(number))[place[place // own.size == number] % own.size])
            return np.concatenate(found)[np.random.default_rng((seed, epoch)).permutation(len(labels))]

        self._epoch = lru_cache(maxsize=2)(draw)


def rows(batch_size: int, share: tuple[int, int]) -> range:
    """The places in a batch that are the share's.

    Raises:
      ValueError: so many shares cannot be equal.
    """
    i, n = share
    if batch_size % n:
        raise ValueError(f"a batch of {batch_size} cannot be shared evenly by {n} processes")
    return range(i * batch_size // n, (i + 1) * batch_size // n)


def pixel_moments(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 [n, H, W, C], of values in [0, 1]; 1 for a constant channel."""
    levels, channels = np.arange(256) / 255, range(images.shape[-1])
    shares = [np.bincount(images[..., c].ravel(), minlength=256) / images[..., c].size for c in channels]
    means = [float(share @ levels) for share in shares]
    variances = [float(share @ (levels - mean) ** 2) for share, mean in zip(shares, means, strict=True)]
    return tuple(means), tuple(math.sqrt(variance) or 1.0 for variance in variances)


@dataclass(frozen=True, eq=False)
class InMemory:
    """A set that fits in memory: images uint8 [n, H, W, C], labels int32 [n] or float32 [n, K]."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    names: Callable[[int], str] = "image {}".format
    stored: DataSource | None = None  # what they were read from; None: these arrays
    balance: bool = False  # training batches have each class equally often

    def name(self, index: int) -> str:
        return self.names(index)

    def __post_init__(self) -> None:
        n, classes = len(self.images), len(self.classes)
        if self.images.ndim != 4 or self.labels.shape not in ((n,), (n, classes)):
            expected = f"images [n, H, W, C] and labels [n] or [n, {classes}]"
            raise ValueError(f"expected {expected}, got {self.images.shape} and {self.labels.shape}")
        if n and self.labels.ndim == 1 and not 0 <= self.labels.min() <= self.labels.max() < classes:
            raise ValueError(f"expected labels from 0 to {classes - 1}, got {np.unique(self.labels)}")
        if self.balance:
            check_balance(self.labels)

    @property
    def num_examples(self) -> int:
        return len(self.images)

    @property
    def examples(self) -> DataSource:
        return ArraySource(self.images, self.labels, self.classes, "memory") if self.stored is None else self.stored

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.images.shape[1:]

    @property
    def resize(self) -> int:
        return self.images.shape[1]

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, of values in [0, 1]."""
        return pixel_moments(self.images)

    def order(self, seed: int, batch_size: int) -> Order:
        if self.balance:
            return BalancedOrder(self.labels, seed, batch_size)
        return Order(self.num_examples, seed, batch_size)

    def batches(
        self, seed: int, start_step: int = 0, *, batch_size: int, share: tuple[int, int] = WHOLE
    ) -> Iterator[Batch]:
        order, places = self.order(seed, batch_size), rows(batch_size, share)
        for step in count(start_step):
            yield self._batch(order.batch(step)[places])

    def eval_batches(self, batch_size: int, *, share: tuple[int, int] = WHOLE) -> Iterator[Batch]:
        places = np.array(rows(batch_size, share))
        for first in range(0, self.num_examples, batch_size):
            yield self._batch(first + places)

    def _batch(self, index: np.ndarray) -> Batch:
        """Indices beyond the last example are padding."""
        mask, index = index < self.num_examples, np.minimum(index, self.num_examples - 1)
        return {"image": self.images[index], "label": self.labels[index], "mask": mask.astype(np.float32)}


def depth_note(examples: DataSource) -> str | None:
    """What to say of 16-bit images with values of fewer bits, of which the high byte keeps little; None: nothing.

    The first image of 8 bits ends it, so of most sets one image is looked at.
    """
    largest = 0
    for i in np.linspace(0, len(examples) - 1, min(DEPTH_SAMPLE, len(examples))).astype(int):
        try:
            value = largest_of_16_bits(examples[int(i)][0])
        except UnreadableImage:
            continue  # reported, or skipped, where it is served
        if value is None or value >= 2**12:
            return None
        largest = max(largest, value)
    if not largest:
        return None
    said = f"16-bit images with no value above {largest:,}: their high byte, which is what the net sees, has few levels"
    return f"{said}; multiply the values by {2**16 // (1 << largest.bit_length())} when you write the files"


def in_memory(examples: DataSource, *, channels: int | None = None, skip_unreadable: bool = False) -> InMemory:
    """Decodes a whole split of images of one size. With `channels` None: 1 if all are grey, else 3.

    Raises:
      UnreadableImage: an image that cannot be read, unless they are skipped.
      NeedsImageSize: images that differ in size, or too many of them.
      ValueError: none that can be read.
    """
    if (
        isinstance(examples, ArraySource)
        and isinstance(examples.images, np.ndarray)
        and channels in (None, examples.images.shape[-1])
    ):
        served = examples.images, compact(examples.labels)
        return InMemory(*served, examples.classes, {}, examples.name, examples)
    images = np.empty((0, 0, 0, 0), np.uint8)
    labels: list[Label] = []
    places: list[int] = []
    skipped: dict[str, str] = {}
    first = ""
    for i in range(len(examples)):
        try:
            data, label = examples[i]
            image = pixels(read_image(data, examples.name(i), channels))
        except UnreadableImage as error:
            if not skip_unreadable:
                raise
            skipped[examples.name(i)] = str(error)
            continue
        if not labels:
            if len(examples) * image.nbytes > MEMORY:
                raise NeedsImageSize(
                    f"{len(examples):,} images of {image.shape[1]} x {image.shape[0]} pixels are too many for memory; "
                    f"set data.image_size, and they are decoded as they are needed"
                )
            images, first = np.empty((len(examples), *image.shape), np.uint8), examples.name(i)
        if image.shape[:2] != images.shape[1:3]:
            sizes = [f"{shape[1]} x {shape[0]}" for shape in (images.shape[1:], image.shape)]
            raise NeedsImageSize(
                f"images differ in size: {first} has {sizes[0]} pixels, {examples.name(i)} {sizes[1]}; "
                f"set data.image_size to crop them to one, as --data.image-size 128 or --config folder_resnet18 does"
            )
        if image.shape[-1] > images.shape[-1]:  # grey so far
            images = np.repeat(images, 3, axis=-1)
        images[len(labels)] = image  # a grey one fills three channels
        labels.append(label)
        places.append(i)
    if not labels:
        raise ValueError(f"none of {len(examples)} images could be read: {next(iter(skipped.values()), '')}")

    def name(index: int) -> str:
        return examples.name(places[index])

    return InMemory(images[: len(labels)], compact(np.array(labels)), examples.classes, skipped, name, examples)


if not TYPE_CHECKING:  # names of version 0.1.0
    __getattr__ = renamed_names(__name__, {"NeedsImageSize": "errors.NeedsImageSize"})
