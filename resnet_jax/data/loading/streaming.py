"""Images that are decoded and cropped as they are needed, in threads. The only file that imports Grain.

Grain reads training images; evaluation and predictions do without, as the extra `train` has it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TypeVar

import numpy as np

from resnet_jax.data.loading.decoding import Picture, centre_crop, random_resized_crop, read_image
from resnet_jax.data.loading.memory import WHOLE, BalancedOrder, Order, check_balance, pixel_moments, rows
from resnet_jax.data.sources.label_kinds import Label
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.data.sources.subsets import known_labels, labels_of
from resnet_jax.errors import DataError, UnreadableImage
from resnet_jax.extras import extra
from resnet_jax.types import Batch

T = TypeVar("T")
SAMPLE = 500  # images by which channels and moments are judged


@dataclass(frozen=True, eq=False)
class Photographs:
    """Images of any sizes, served as uint8 [N, image_size, image_size, C].

    Training takes a random resized crop, drawn by (seed, the example's number in the run); evaluation the middle. An
    unreadable image stops the run, or (`skip_unreadable`) is named in `skipped`: training is served the next one that
    can be read, and evaluation leaves it out.
    """

    examples: DataSource
    image_size: int
    resize: int  # shorter side before the centre crop of evaluation
    channels: int = 3
    to_grey: bool = True  # with one channel: whether a coloured image becomes grey, or is an error
    area: tuple[float, float] = (0.08, 1.0)  # of the random crop, as a share of the image's
    interpolation: str = "bilinear"
    threads: int | None = None  # None: one per processor
    skip_unreadable: bool = False
    skipped: dict[str, str] = field(default_factory=dict)
    balance: bool = False  # training batches have each class equally often

    @property
    def classes(self) -> tuple[str, ...]:
        return self.examples.classes

    def name(self, index: int) -> str:
        return self.examples.name(index)

    @property
    def num_examples(self) -> int:
        return len(self.examples)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (self.image_size, self.image_size, self.channels)

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, of values in [0, 1], of 500 images as evaluation has them."""
        chosen = sample(len(self.examples))
        batch = _stacked(in_threads(lambda i: self._eval_example(chosen[i]), len(chosen), threads=self.threads))
        if not batch["mask"].any():
            raise ValueError(f"none of {len(chosen)} images could be read: {self._last_reason()}")
        return pixel_moments(batch["image"][batch["mask"] > 0])

    @cached_property
    def labels(self) -> np.ndarray:
        """int [n] or float32 [n, K]. Every image is read if the storage does not know them; -1 if it cannot be."""
        return labels_of(self.examples, skip_unreadable=self.skip_unreadable)

    def order(self, seed: int, batch_size: int) -> Order:
        if self.balance:
            check_balance(self.labels)
            return BalancedOrder(self.labels, seed, batch_size)
        return Order(self.num_examples, seed, batch_size)

    def batches(
        self, seed: int, start_step: int = 0, *, batch_size: int, share: tuple[int, int] = WHOLE
    ) -> Iterator[Batch]:
        order, places = self.order(seed, batch_size), rows(batch_size, share)
        first = start_step * len(places)

        def read(i: int) -> Batch:
            step, place = divmod(first + i, len(places))
            number = step * batch_size + places[place]
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, number))))
            own = order.example(number)
            for further in range(self.num_examples):
                if (row := self._example((own + further) % self.num_examples, rng)) is not None:
                    return row
            raise UnreadableImage(f"none of {self.num_examples} images could be read; the last: {self._last_reason()}")

        with extra():
            import grain

        threads, size = self.threads or processors(), len(places)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, 2 * size))
        return iter(grain.MapDataset.range(2**62 - first).map(read).to_iter_dataset(options).batch(size))

    def eval_batches(self, batch_size: int, *, share: tuple[int, int] = WHOLE) -> Iterator[Batch]:
        places, batches = rows(batch_size, share), -(-self.num_examples // batch_size)

        def read(i: int) -> Batch:
            step, place = divmod(i, len(places))
            return self._eval_example(step * batch_size + places[place])

        examples = in_threads(read, batches * len(places), threads=self.threads, ahead=2 * len(places))
        for _ in range(batches):
            yield _stacked(islice(examples, len(places)))

    def eval_image(self, index: int) -> np.ndarray | None:
        """One image as evaluation sees it, uint8 [H, W, C]; None: it cannot be read, and those are to be skipped."""
        row = self._example(index, None)
        return None if row is None else row["image"]

    def _eval_example(self, index: int) -> Batch:
        row = self._example(index, None) if index < self.num_examples else None
        return (
            self._row(np.zeros(self.image_shape, np.uint8), self._padding_label, counts=False) if row is None else row
        )

    @cached_property
    def _padding_label(self) -> Label:
        labels = known_labels(self.examples)  # storage that does not know them has classes
        return 0 if labels is None or labels.ndim == 1 else np.zeros(labels.shape[1], np.float32)

    def views(self, of: Callable[[Picture], list[np.ndarray]]) -> Iterator[tuple[int, list[np.ndarray], Label]]:
        """(index, of(image), label) of every image that can be read, in order."""

        def read(i: int) -> tuple[int, list[np.ndarray] | None, Label]:
            image, label = self._image(i) or (None, 0)
            return i, None if image is None else of(image), label

        for index, found, label in in_threads(read, self.num_examples, threads=self.threads):
            if found is not None:
                yield index, found, label

    def _example(self, index: int, rng: np.random.Generator | None) -> Batch | None:
        """With a random crop, or (`rng` None) the middle. None: it cannot be read, and those are to be skipped."""
        image, label = self._image(index) or (None, 0)
        if image is None:
            return None
        if rng is None:
            crop = centre_crop(image, resize=self.resize, size=self.image_size, interpolation=self.interpolation)
        else:
            crop = random_resized_crop(
                image, size=self.image_size, rng=rng, area=self.area, interpolation=self.interpolation
            )
        return self._row(crop, label)

    def _image(self, index: int) -> tuple[Picture, Label] | None:
        """The whole picture and its label. None: it cannot be read, and those are to be skipped."""
        convert = self.to_grey or self.channels > 1
        try:
            name = self.examples.name(index)
            data, label = self.examples[index]
            image = read_image(data, name, self.channels if convert else None)
        except UnreadableImage as error:
            if not self.skip_unreadable:
                raise
            self.skipped[name] = str(error)
            return None
        if len(image.getbands()) != self.channels:
            raise DataError(
                f"{name} has colours, but the images looked at first are grey: --data.channels 1 with "
                "--resume.allow-changes makes it grey too; --data.channels 3 is another net and wants another --workdir"
            )
        if isinstance(label, int) and not 0 <= label < len(self.classes):
            said = f"labels of {len(self.classes)} classes are 0 to {len(self.classes) - 1}"
            raise DataError(f"{name} has label {label}; {said}")
        return image, label

    def _row(self, image: np.ndarray, label: Label, counts: bool = True) -> Batch:
        kind = np.int32 if isinstance(label, int) else np.float32
        return {"image": image, "label": np.asarray(label, kind), "mask": np.float32(counts)}

    def _last_reason(self) -> str:
        return next(reversed(self.skipped.values()), "")


def _stacked(examples: Iterable[Batch]) -> Batch:
    rows = list(examples)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def infer_channels(examples: DataSource) -> int:
    """1 if the images are grey (500 of them are looked at), else 3."""
    for i in sample(len(examples)):
        try:
            if len(read_image(examples[i][0], examples.name(i)).getbands()) == 3:
                return 3
        except UnreadableImage:
            continue  # told of, or skipped, where it is served
    return 1


def sample(length: int) -> list[int]:
    """Some of `length` indices, the same each time."""
    order = np.random.default_rng(0).permutation(length)
    return [int(i) for i in np.sort(order[:SAMPLE])]


def in_threads(read: Callable[[int], T], length: int, *, threads: int | None, ahead: int = 0) -> Iterator[T]:
    """read(0), read(1), ..., read(length - 1), in that order whatever the number of threads; so many ahead.

    `threads` None: one per processor.
    """
    threads = threads or processors()
    pool = ThreadPoolExecutor(threads)
    following = iter(range(length))
    try:
        pending = deque(pool.submit(read, i) for i in islice(following, max(ahead, 4 * threads)))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(read, i) for i in islice(following, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def processors() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
