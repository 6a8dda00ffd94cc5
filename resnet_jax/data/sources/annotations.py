"""Labels of dense tasks: objects with boxes and masks ("boxes"), and label maps, a class for each pixel ("pixels")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeGuard, overload

import numpy as np

from resnet_jax.images.rle import RLE

DenseKind = Literal["pixels", "boxes"]
DENSE_KINDS: tuple[DenseKind, ...] = ("pixels", "boxes")
IGNORED = 255  # in a label map: pixels without a class, which neither losses nor measures count


@dataclass(frozen=True, eq=False)
class Annotations:
    """The objects of an image: b of them, none in an image without objects."""

    boxes: np.ndarray  # float64 [b, 4]: x0, y0, x1, y1 in pixels of the image as it is stored, y down
    labels: np.ndarray  # int [b], from 0: `classes[label]`
    masks: Sequence[RLE] | None  # one each, of the image's size; None: the data has no masks
    crowd: np.ndarray  # bool [b]: a region of several objects, which is no target and is ignored in evaluation
    area: np.ndarray  # float64 [b]: of the mask or the box, pixels
    size: tuple[int, int] | None = None  # height and width of the image that the boxes are for; None: not stored

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Annotations:
        """The objects at `index`, int [m]."""
        masks = None if self.masks is None else LazyMasks([_getter(self.masks, int(i)) for i in index])
        return replace(
            self,
            boxes=self.boxes[index],
            labels=self.labels[index],
            masks=masks,
            crowd=self.crowd[index],
            area=self.area[index],
        )


def no_annotations(size: tuple[int, int] | None = None, *, has_masks: bool = False) -> Annotations:
    """The annotations of an image without objects."""
    empty = np.zeros(0)
    return Annotations(
        np.zeros((0, 4)), np.zeros(0, np.int64), () if has_masks else None, np.zeros(0, bool), empty, size
    )


class LazyMasks(Sequence[RLE]):
    """Masks that are made when they are first read: polygons are rasterised only for nets that have masks."""

    def __init__(self, makers: Sequence[Callable[[], RLE]]) -> None:
        self._makers = makers

    @cached_property
    def _masks(self) -> tuple[RLE, ...]:
        return tuple(make() for make in self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, index: int) -> RLE: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[RLE]: ...

    def __getitem__(self, index: int | slice) -> RLE | Sequence[RLE]:
        return self._masks[index]


def _getter(masks: Sequence[RLE], index: int) -> Callable[[], RLE]:
    return lambda: masks[index]


def paint(annotations: Annotations, size: tuple[int, int]) -> np.ndarray:
    """The label map of objects with masks: uint8 [H, W], 0 where there is none ("background"), else label + 1.

    Pixels of objects of several classes are ignored (255); a crowd's pixels have its class.

    Raises:
      ValueError: objects without masks.
    """
    if annotations.masks is None:
        raise ValueError("expected objects with masks, got boxes alone")
    label_map = np.zeros(size, np.uint8)
    for label, mask in zip(annotations.labels.tolist(), annotations.masks, strict=True):
        covered = mask.decode() > 0
        clash = covered & (label_map != 0) & (label_map != label + 1)
        label_map[covered] = label + 1
        label_map[clash] = IGNORED
    return label_map


def relabel_annotations(label: Any, table: np.ndarray) -> Any:
    """Annotations or a label map with new classes.

    Args:
      table: int [K]: the new label of each class; -1 drops its objects, or makes its pixels ignored.
    """
    if isinstance(label, Annotations):
        chosen = np.flatnonzero(table[label.labels] >= 0)
        objects = label if len(chosen) == len(label) else label.take(chosen)
        return replace(objects, labels=table[objects.labels])
    levels = np.full(256, IGNORED, np.uint8)
    levels[: len(table)] = np.where(table < 0, IGNORED, table)
    return levels[label]


def is_label_map(label: object) -> TypeGuard[np.ndarray]:
    """Whether a label is a label map, uint8 [H, W]."""
    return isinstance(label, np.ndarray) and label.dtype == np.uint8 and label.ndim == 2


def as_annotations(label: object) -> Annotations:
    """The label as annotations. Raises TypeError for a label of another kind."""
    if not isinstance(label, Annotations):
        raise TypeError(f"expected annotations, as label_kind='boxes' has, got a {type(label).__name__}")
    return label
