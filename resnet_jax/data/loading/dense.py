"""The dense loader: images with label maps or objects, on a square canvas.

A batch of "pixels": image uint8 [N, H, W, C]; label uint8 [N, H, W], 255 where pixels are ignored and in the padding;
size int32 [N, 2], height and width of the image on the canvas; mask float32 [N]; example int32 [N], the example's index
in the source, -1 for padding of the batch.

A batch of "boxes", of at most B objects each: image; label int32 [N, B], -1 = padding; boxes float32 [N, B, 4], x0,
y0, x1, y1 in pixels of the canvas; crowd bool [N, B]; masks uint8 [N, B, H, W], with `masks=True`; size; original_size
int32 [N, 2] of the image file; mask; example.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from threading import Lock
from typing import Any, Literal

import numpy as np

from resnet_jax.data.loading.loader import ImageInput
from resnet_jax.data.loading.samplers import WHOLE, ShuffleSampler, share_rows
from resnet_jax.data.loading.statistics import infer_channels, moments_of_levels, sample
from resnet_jax.data.loading.threads import in_threads, processors
from resnet_jax.data.sources.annotations import IGNORED, Annotations, DenseKind, no_annotations
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.data.sources.subsets import dense, dense_kind
from resnet_jax.errors import DataError, MixedChannels, NeedsCanvasSize, UnreadableImage
from resnet_jax.images.crops import on_canvas
from resnet_jax.images.decoding import Picture, read_image
from resnet_jax.images.label_maps import resize_labels
from resnet_jax.types import Batch

CACHE = 2**31  # bytes of decoded images and labels that a loader holds at most


@dataclass(frozen=True, eq=False)
class Decoded:
    """An example on the canvas."""

    image: np.ndarray  # uint8 [H, W, C]
    size: tuple[int, int]  # height and width of the image there
    original_size: tuple[int, int]  # of the image file
    label: np.ndarray  # uint8 [H, W], or the classes of objects, int [b]
    boxes: np.ndarray | None = None  # float64 [b, 4]
    crowd: np.ndarray | None = None  # bool [b]
    masks: np.ndarray | None = None  # bits of uint8 [b, H, W], packed along the last axis

    @property
    def nbytes(self) -> int:
        arrays = (self.image, self.label, self.boxes, self.crowd, self.masks)
        return sum(array.nbytes for array in arrays if array is not None)


@dataclass(frozen=True, eq=False)
class DenseLoader(ImageInput):
    """Images with label maps or objects, resized to fit a square canvas and padded right and below.

    The image's shorter side becomes `resize` pixels, or less if the longer one would not fit (see `images.on_canvas`,
    which also says how this differs from torchvision). Label maps and masks take the nearest value, boxes are scaled by
    the ratio of the sizes per axis. Images are read as they are stored, whatever their EXIF orientation is, because
    that is what annotations are for; where the annotated height and width are those of the turned image, it is turned.

    Nothing is random here: augmentation is the device's. So decoded examples are held in memory, up to 2 GiB, and each
    image of a small set is decoded once. An unreadable image, or invalid label, stops the run; with `skip_unreadable`
    or `skip_invalid` it is recorded in `skipped`, training gets the next example, and evaluation ignores it.
    """

    examples: DataSource
    image_size: int  # side of the canvas
    resize: int  # shorter side of the image, pixels
    max_boxes: int | None = None  # B; None: the largest number of objects of an image
    masks: bool = False  # whether batches have the masks of objects
    channels: int = 3
    to_grey: bool = True  # with one channel: whether a coloured image is made grey, or is an error
    interpolation: str = "bilinear"
    threads: int | None = None  # None: one per processor
    skip_unreadable: bool = False
    skip_invalid: bool = False
    cache: int = CACHE  # bytes of decoded examples that are held; 0 where each is read once
    skipped: dict[str, str] = field(default_factory=dict)
    _decoded: dict[int, Decoded] = field(default_factory=dict, init=False, repr=False)
    _held: list[int] = field(default_factory=lambda: [0], init=False, repr=False)  # bytes of them
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises TypeError for labels that are not dense."""
        dense(self.examples)

    @property
    def crop_mode(self) -> Literal["pad"]:
        """How evaluation crops; see `Preprocess`."""
        return "pad"

    @property
    def label_kind(self) -> DenseKind:
        return dense_kind(self.examples) or "boxes"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.examples.classes

    @property
    def category_ids(self) -> tuple[int, ...]:
        """See `DenseSource`."""
        return dense(self.examples).category_ids

    def name(self, index: int) -> str:
        return self.examples.name(index)

    def image_id(self, index: int) -> int | None:
        """See `DenseSource`."""
        return dense(self.examples).image_id(index)

    @property
    def num_examples(self) -> int:
        return len(self.examples)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (self.image_size, self.image_size, self.channels)

    @cached_property
    def labels(self) -> np.ndarray:
        """Which classes each example has: float32 [n, K], 0 or 1. Masks of pixels are read for it."""
        return (dense(self.examples).presence() > 0).astype(np.float32)

    @cached_property
    def box_count(self) -> int:
        """Objects in each row of a batch, B."""
        if self.max_boxes is not None:
            return self.max_boxes
        return max(1, int(dense(self.examples).presence().sum(1).max(initial=0)))

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, of values in [0, 1], of 500 images without their padding."""
        indices = sample(self.num_examples)
        levels = np.zeros((self.channels, 256), np.int64)
        for one in in_threads(lambda i: self.decoded(indices[i]), len(indices), threads=self.threads):
            if one is not None:
                image = one.image[: one.size[0], : one.size[1]]
                levels += [np.bincount(image[..., c].ravel(), minlength=256) for c in range(self.channels)]
        if not levels.any():
            raise ValueError(f"none of {len(indices)} images could be read: {self._last_reason()}")
        return moments_of_levels(levels)

    def order(self, seed: int, batch_size: int) -> ShuffleSampler:
        return ShuffleSampler(self.num_examples, seed, batch_size)

    def batches(
        self, seed: int, start_step: int = 0, *, batch_size: int, share: tuple[int, int] = WHOLE
    ) -> Iterator[Batch]:
        sampler, places = self.order(seed, batch_size), share_rows(batch_size, share)
        first = start_step * len(places)

        def read(i: int) -> Batch:
            step, place = divmod(first + i, len(places))
            index = sampler.example(step * batch_size + places[place])
            for further in range(self.num_examples):
                at = (index + further) % self.num_examples
                if (example := self.decoded(at)) is not None:
                    return self._row(example, at)
            raise UnreadableImage(f"none of {self.num_examples} images could be read; the last: {self._last_reason()}")

        return self._served(read, 2**62 - first, len(places))

    def eval_batches(self, batch_size: int, *, share: tuple[int, int] = WHOLE) -> Iterator[Batch]:
        places, batches = share_rows(batch_size, share), -(-self.num_examples // batch_size)

        def read(i: int) -> Batch:
            step, place = divmod(i, len(places))
            index = step * batch_size + places[place]
            example = self.decoded(index) if index < self.num_examples else None
            return self._padding if example is None else self._row(example, index)

        return self._served(read, batches * len(places), len(places))

    def _served(self, read: Any, length: int, batch_size: int) -> Iterator[Batch]:
        threads = self.threads or processors()
        rows = in_threads(read, length, threads=threads, ahead=2 * batch_size)
        for _ in range(length // batch_size):
            yield _stacked(islice(rows, batch_size))

    def decoded(self, index: int) -> Decoded | None:
        """An example on the canvas. None: it cannot be read or is invalid, and is skipped."""
        if (example := self._decoded.get(index)) is not None:
            return example
        try:
            example = self.decode(index)
        except MixedChannels:
            raise
        except DataError as error:
            is_skipped = self.skip_unreadable if isinstance(error, UnreadableImage) else self.skip_invalid
            if not is_skipped:
                raise
            self.skipped[self.examples.name(index)] = str(error)
            return None
        with self._lock:
            if index not in self._decoded and self._held[0] + example.nbytes <= self.cache:
                self._decoded[index] = example
                self._held[0] += example.nbytes
        return example

    def eval_image(self, index: int) -> np.ndarray | None:
        """One image on the canvas, uint8 [H, W, C]; None: it cannot be read or is invalid, and is skipped."""
        example = self.decoded(index)
        return None if example is None else example.image

    def decode(self, index: int) -> Decoded:
        """The same, whatever is skipped. Raises DataError for an unreadable image or an invalid label."""
        name = self.examples.name(index)
        data, label = self.examples[index]
        stored = label.size if isinstance(label, Annotations) else np.asarray(label).shape
        picture = self._picture(data, name, stored)
        original = picture.height, picture.width
        image, size = on_canvas(picture, shorter=self.resize, canvas=self.image_size, interpolation=self.interpolation)
        if not isinstance(label, Annotations):
            canvas = np.full(image.shape[:2], IGNORED, np.uint8)
            canvas[: size[0], : size[1]] = resize_labels(np.asarray(label), size, centers=True)
            return Decoded(image, size, original, canvas)
        objects = label.take(_largest(label, self.box_count))
        scale = np.array([size[1] / original[1], size[0] / original[0]] * 2)
        boxes = np.clip(objects.boxes * scale, 0, [size[1], size[0]] * 2)
        masks = self._masks(objects, size, image.shape[:2], name) if self.masks else None
        return Decoded(image, size, original, objects.labels, boxes, objects.crowd, masks)

    def _picture(self, data: Any, name: str, stored: tuple[int, ...] | None) -> Picture:
        """The image as it is annotated: as it is stored, or upright if `stored` (height, width) is its size then."""
        convert = self.to_grey or self.channels > 1
        channels = self.channels if convert else None
        picture = read_image(data, name, channels, upright=stored is None)
        if stored is not None and (picture.height, picture.width) != tuple(stored):
            sizes = f"{stored[1]} x {stored[0]} pixels, the image has {picture.width} x {picture.height}"
            picture = read_image(data, name, channels)
            if (picture.height, picture.width) != tuple(stored):
                raise DataError(f"{name}: its annotation is for {sizes}; expected the same size")
        if len(picture.getbands()) != self.channels:
            problem = f"{name} has colours, but the images looked at first are grey"
            raise MixedChannels(f"{problem}: channels=1 makes it grey too, channels=3 reads all images in colour")
        return picture

    def _masks(self, objects: Annotations, size: tuple[int, int], canvas: tuple[int, ...], name: str) -> np.ndarray:
        if objects.masks is None:
            raise DataError(f"{name}: expected a mask for each object, which this net is trained on, got boxes alone")
        masks = np.zeros((len(objects), *canvas), np.uint8)
        for i, mask in enumerate(objects.masks):
            masks[i, : size[0], : size[1]] = resize_labels(mask.decode(), size)
        return np.packbits(masks, axis=-1)

    def _row(self, example: Decoded, index: int, counts: bool = True) -> Batch:
        row: dict[str, Any] = {"image": example.image, "size": np.array(example.size, np.int32)}
        row |= {"mask": np.float32(counts), "example": np.int32(index)}
        if example.boxes is None or example.crowd is None:
            return row | {"label": example.label}
        count, rows = len(example.label), self.box_count
        label, boxes = np.full(rows, -1, np.int32), np.zeros((rows, 4), np.float32)
        crowd = np.zeros(rows, bool)
        label[:count], boxes[:count], crowd[:count] = example.label, example.boxes, example.crowd
        row |= {"label": label, "boxes": boxes, "crowd": crowd}
        row["original_size"] = np.array(example.original_size, np.int32)
        if example.masks is not None:
            row["masks"] = np.zeros((rows, self.image_size, self.image_size), np.uint8)
            row["masks"][:count] = np.unpackbits(example.masks, axis=-1, count=self.image_size)
        return row

    @cached_property
    def _padding(self) -> Batch:
        """A row of mask 0."""
        image, side = np.zeros(self.image_shape, np.uint8), (self.image_size, self.image_size)
        if self.label_kind == "pixels":
            return self._row(Decoded(image, side, side, np.full(side, IGNORED, np.uint8)), -1, counts=False)
        none = no_annotations()
        masks = np.packbits(np.zeros((0, *side), np.uint8), axis=-1) if self.masks else None
        return self._row(Decoded(image, side, side, none.labels, none.boxes, none.crowd, masks), -1, counts=False)

    def _last_reason(self) -> str:
        return next(reversed(self.skipped.values()), "")


def _largest(objects: Annotations, count: int) -> np.ndarray:
    """Positions of the `count` largest objects, in their order. Crowds, which are no targets, come after all others."""
    return np.sort(np.lexsort((-objects.area, objects.crowd))[:count])


def _stacked(rows: Iterable[Batch]) -> Batch:
    listed = list(rows)
    return {name: np.stack([row[name] for row in listed]) for name in listed[0]}


def with_masks(loader: Any) -> Any:
    """The loader with masks in its batches, if it serves objects."""
    is_boxes = isinstance(loader, DenseLoader) and loader.label_kind == "boxes"
    return replace(loader, masks=True) if is_boxes else loader


def open_dense_loader(
    source: DataSource, image_size: int | None, resize: int | None, *, channels: int | None, **settings: Any
) -> DenseLoader:
    """The loader of a source with dense labels.

    Args:
      image_size: side of the canvas; None: that of images in memory, which are as large as it.
      resize: shorter side of the images; None: `image_size`, so that the longer side fills the canvas.
      channels: 1, 3 or None: as the images are.
      settings: other fields of `DenseLoader`.

    Raises:
      NeedsCanvasSize: `image_size` is None, and the images are files.
    """
    if image_size is None:
        images = getattr(dense(source), "images", None)
        if not isinstance(images, ArraySource) or not isinstance(images.images, np.ndarray):
            raise NeedsCanvasSize("images with boxes or masks: expected image_size=512, or another side of the canvas")
        image_size = max(images.images.shape[1:3])
    return DenseLoader(
        source,
        image_size,
        resize=image_size if resize is None else resize,
        channels=infer_channels(source) if channels is None else channels,
        to_grey=channels is not None,
        **settings,
    )
