"""The data source of dense tasks: images with a label map, or annotated objects, each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from resnet_jax.data.sources.annotations import Annotations, DenseKind, as_annotations
from resnet_jax.data.sources.identity import Identity


class Truths(Protocol):
    """Labels of n images. Reading one reads no image, and is thread-safe."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Annotations | np.ndarray:
        """Annotations, or uint8 [H, W]. Raises DataError for an invalid label."""
        ...

    def codes(self, index: np.ndarray, kind: str) -> np.ndarray:
        """A number for each label at `index`, int32 [m], equal for equal labels; `kind` as in `DataSource.identity`."""
        ...

    def presence(self, num_classes: int) -> np.ndarray:
        """How many objects of each class each image has, or whether it has pixels of it: int [n, K]."""
        ...


class Images(Protocol):
    """Images whose labels are not read."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, Any]: ...

    def name(self, index: int) -> str: ...

    def take(self, index: np.ndarray) -> Any: ...

    def identity(self, index: np.ndarray, kind: str) -> Identity: ...


@dataclass(frozen=True, eq=False)
class DenseSource:
    """Images with dense labels; see `annotations`."""

    images: Images
    truths: Truths
    classes: tuple[str, ...]
    label_kind: DenseKind
    category_ids: tuple[int, ...] = ()  # of the classes, in COCO's JSON; (): the data has none
    image_ids: Sequence[int] | None = None  # n, likewise

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, Annotations | np.ndarray]:
        """An encoded image or its pixels; and its annotations, or its label map, uint8 [H, W]."""
        return self.images[index][0], self.truths[index]

    def label(self, index: int) -> Any:
        """Annotations, or a label map, uint8 [H, W]; the image is not read."""
        return self.truths[index]

    def annotations(self, index: int) -> Annotations:
        """The objects of an image, which is not read. For sources of `label_kind` "boxes"."""
        return as_annotations(self.truths[index])

    def name(self, index: int) -> str:
        return self.images.name(index)

    def image_id(self, index: int) -> int | None:
        """The image's id in COCO's JSON; None: the data has none."""
        return None if self.image_ids is None else self.image_ids[index]

    def take(self, index: np.ndarray) -> DenseSource:
        """The examples at `index`, int [n]."""
        ids = None if self.image_ids is None else [self.image_ids[i] for i in index.tolist()]
        return replace(self, images=self.images.take(index), truths=TakenTruths(self.truths, index), image_ids=ids)

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        return replace(self.images.identity(index, kind), labels=self.truths.codes(index, kind))

    def presence(self) -> np.ndarray:
        """How many objects of each class each image has, or whether it has pixels of it: int [n, K]."""
        return self.truths.presence(len(self.classes))


@dataclass(frozen=True, eq=False)
class TakenTruths:
    """Labels at some positions of others."""

    truths: Truths
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> Annotations | np.ndarray:
        return self.truths[int(self.index[index])]

    def codes(self, index: np.ndarray, kind: str) -> np.ndarray:
        return self.truths.codes(self.index[index], kind)

    def presence(self, num_classes: int) -> np.ndarray:
        return self.truths.presence(num_classes)[self.index]
