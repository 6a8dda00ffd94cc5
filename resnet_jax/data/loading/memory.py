"""The memory loader: images of one size, held in memory and gathered by index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

import numpy as np

from resnet_jax.data.loading.loader import ImageInput
from resnet_jax.data.loading.samplers import WHOLE, ShuffleSampler, check_balance, share_rows, training_sampler
from resnet_jax.data.loading.statistics import pixel_moments
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.label_kinds import Label, compact
from resnet_jax.data.sources.limits import MEMORY
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.errors import NeedsImageSize, UnreadableImage
from resnet_jax.images.decoding import pixels, read_image
from resnet_jax.types import Batch


@dataclass(frozen=True, eq=False)
class MemoryLoader(ImageInput):
    """A dataset that fits in memory: images uint8 [n, H, W, C], labels int32 [n] or float32 [n, K]."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    names: Callable[[int], str] = "image {}".format
    stored: DataSource | None = None  # the source they were read from; None: these arrays
    balance: bool = False  # training batches have each class equally often

    def __post_init__(self) -> None:
        """Raises ValueError for arrays of other shapes, labels out of range, or labels that cannot be balanced."""
        n, classes = len(self.images), len(self.classes)
        if self.images.ndim != 4 or self.labels.shape not in ((n,), (n, classes)):
            expected = f"images [n, H, W, C] and labels [n] or [n, {classes}]"
            raise ValueError(f"expected {expected}, got {self.images.shape} and {self.labels.shape}")
        if n and self.labels.ndim == 1 and not 0 <= self.labels.min() <= self.labels.max() < classes:
            raise ValueError(f"expected labels from 0 to {classes - 1}, got {np.unique(self.labels)}")
        if self.balance:
            check_balance(self.labels)

    def name(self, index: int) -> str:
        return self.names(index)

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

    @property
    def crop_mode(self) -> Literal["center"]:
        """How evaluation crops; see `Preprocess`."""
        return "center"

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, of values in [0, 1]."""
        return pixel_moments(self.images)

    def order(self, seed: int, batch_size: int) -> ShuffleSampler:
        return training_sampler(self, seed, batch_size)

    def batches(
        self, seed: int, start_step: int = 0, *, batch_size: int, share: tuple[int, int] = WHOLE
    ) -> Iterator[Batch]:
        sampler, places = self.order(seed, batch_size), share_rows(batch_size, share)
        for step in count(start_step):
            yield self._batch(sampler.batch(step)[places])

    def eval_batches(self, batch_size: int, *, share: tuple[int, int] = WHOLE) -> Iterator[Batch]:
        places = np.array(share_rows(batch_size, share))
        for first in range(0, self.num_examples, batch_size):
            yield self._batch(first + places)

    def _batch(self, index: np.ndarray) -> Batch:
        """The examples at `index`; indices beyond the last example are padding."""
        mask, index = index < self.num_examples, np.minimum(index, self.num_examples - 1)
        return {"image": self.images[index], "label": self.labels[index], "mask": mask.astype(np.float32)}


def load_into_memory(source: DataSource, *, channels: int | None = None, skip_unreadable: bool = False) -> MemoryLoader:
    """Decodes a whole split of images of one size. With `channels` None: 1 if all are grey, else 3.

    Raises:
      UnreadableImage: an image that cannot be read, without `skip_unreadable`.
      NeedsImageSize: images that differ in size, or too many of them.
      ValueError: no image can be read.
    """
    if (
        isinstance(source, ArraySource)
        and isinstance(source.images, np.ndarray)
        and channels in (None, source.images.shape[-1])
    ):
        return MemoryLoader(source.images, compact(source.labels), source.classes, {}, source.name, source)
    images = np.empty((0, 0, 0, 0), np.uint8)
    labels: list[Label] = []
    places: list[int] = []
    skipped: dict[str, str] = {}
    for i in range(len(source)):
        try:
            data, label = source[i]
            image = pixels(read_image(data, source.name(i), channels))
        except UnreadableImage as error:
            if not skip_unreadable:
                raise
            skipped[source.name(i)] = str(error)
            continue
        if not labels:
            _check_memory(len(source), image)
            images = np.empty((len(source), *image.shape), np.uint8)
        if image.shape[:2] != images.shape[1:3]:
            names = source.name(places[0]), source.name(i)
            raise NeedsImageSize(_sizes_differ(names, (images.shape[1:], image.shape)))
        if image.shape[-1] > images.shape[-1]:  # grey so far
            images = np.repeat(images, 3, axis=-1)
        images[len(labels)] = image  # a grey one fills three channels
        labels.append(label)
        places.append(i)
    if not labels:
        raise ValueError(f"none of {len(source)} images could be read: {next(iter(skipped.values()), '')}")

    def name(index: int) -> str:
        return source.name(places[index])

    return MemoryLoader(images[: len(labels)], compact(np.array(labels)), source.classes, skipped, name, source)


def _check_memory(count: int, image: np.ndarray) -> None:
    if count * image.nbytes > MEMORY:
        raise NeedsImageSize(
            f"{count:,} images of {image.shape[1]} x {image.shape[0]} pixels are too many for memory; "
            "with image_size=224, or another size, they are decoded as they are needed"
        )


def _sizes_differ(names: tuple[str, str], shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> str:
    sizes = [f"{shape[1]} x {shape[0]}" for shape in shapes]
    problem = f"images differ in size: {names[0]} has {sizes[0]} pixels, {names[1]} {sizes[1]}"
    return f"{problem}; image_size=128, or another size, crops them to one"
