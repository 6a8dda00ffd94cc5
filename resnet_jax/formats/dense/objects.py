"""Objects of many images, in flat arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from resnet_jax.data.sources.annotations import Annotations, LazyMasks, paint
from resnet_jax.errors import DataError
from resnet_jax.images.rle import from_coco


@dataclass
class ObjectList:
    """The objects of one image, while they are read."""

    size: tuple[int, int] | None  # height and width of the image; None: not stored, and boxes are shares of it
    boxes: list[list[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    area: list[float] = field(default_factory=list)
    shapes: list[Any] = field(default_factory=list)  # "segmentation" as COCO has it; None: there is none

    def add(self, box: list[float], label: int, area: float, *, crowd: bool = False, shape: Any = None) -> None:
        self.boxes.append(box)
        self.labels.append(label)
        self.crowd.append(crowd)
        self.area.append(area)
        self.shapes.append(shape)


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of n images; see `dense.Truths`."""

    starts: np.ndarray  # int [n + 1]: first object of each image
    boxes: np.ndarray  # float64 [t, 4]
    labels: np.ndarray  # int [t]
    crowd: np.ndarray  # bool [t]
    area: np.ndarray  # float64 [t]
    shapes: Sequence[Any]
    sizes: Sequence[tuple[int, int]]
    names: Sequence[str]  # of the images, for messages

    @classmethod
    def of(cls, lists: Sequence[ObjectList], names: Sequence[str]) -> Objects:
        """The objects of images, in order."""
        flat: dict[str, list[Any]] = {
            name: [value for one in lists for value in getattr(one, name)]
            for name in ("boxes", "labels", "crowd", "area", "shapes")
        }
        return cls(
            np.cumsum([0, *(len(one.labels) for one in lists)]),
            np.array(flat["boxes"], np.float64).reshape(-1, 4),
            np.array(flat["labels"], np.int64),
            np.array(flat["crowd"], bool),
            np.array(flat["area"], np.float64),
            flat["shapes"],
            [one.size or (0, 0) for one in lists],
            names,
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> Annotations:
        rows, size = slice(*self.starts[index : index + 2]), self.sizes[index]
        shapes, masks = self.shapes[rows], None
        if all(shape is not None for shape in shapes) and self.has_masks:
            masks = polygon_masks(shapes, size)
        return Annotations(self.boxes[rows], self.labels[rows], masks, self.crowd[rows], self.area[rows], size)

    @cached_property
    def has_masks(self) -> bool:
        """Whether some object has a mask."""
        return any(shape is not None for shape in self.shapes)

    def codes(self, index: np.ndarray, kind: str) -> np.ndarray:
        """31 bits of a hash of each image's boxes, classes and areas."""
        return np.array([self._code(slice(*self.starts[i : i + 2])) for i in index.tolist()], np.int32)

    def _code(self, rows: slice) -> int:
        arrays = (self.boxes[rows], self.labels[rows], self.crowd[rows], self.area[rows])
        digest = hashlib.blake2b(b"\0".join(x.tobytes() for x in arrays), digest_size=4).digest()
        return int.from_bytes(digest, "little") >> 1

    def presence(self, num_classes: int) -> np.ndarray:
        counts = np.zeros((len(self), num_classes), np.int64)
        np.add.at(counts, (np.repeat(np.arange(len(self)), np.diff(self.starts)), self.labels), 1)
        return counts


def polygon_masks(shapes: Sequence[Any], size: tuple[int, int]) -> LazyMasks:
    """Masks of COCO's segmentations, polygons or run lengths, made when they are first read."""
    return LazyMasks([partial(from_coco, shape, size) for shape in shapes])


@dataclass(frozen=True, eq=False)
class PaintedObjects:
    """Label maps of the same objects: class 0 is the background, others are one higher; see `annotations.paint`."""

    objects: Objects

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> np.ndarray:
        annotations = self.objects[index]
        if annotations.masks is None and len(annotations):
            raise DataError(f"{self.objects.names[index]}: expected a mask for each object, got boxes alone")
        return paint(annotations, self.objects.sizes[index])

    def codes(self, index: np.ndarray, kind: str) -> np.ndarray:
        return self.objects.codes(index, kind)

    def presence(self, num_classes: int) -> np.ndarray:
        """The background counts as present everywhere."""
        has_class = self.objects.presence(num_classes - 1) > 0
        return np.concatenate([np.ones((len(self), 1), bool), has_class], axis=1).astype(np.int64)
