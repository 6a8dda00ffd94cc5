"""Labels of composed scenes, made from the object that each pixel belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resnet_jax.data.scenes.compose import SIDE
from resnet_jax.data.sources.annotations import Annotations, DenseKind
from resnet_jax.images.rle import encode


@dataclass(frozen=True, eq=False)
class SceneTruths:
    """Labels of n scenes; see `dense.Truths`."""

    owners: np.ndarray  # uint8 [n, SIDE, SIDE]: 0 for the background, k + 1 for a pixel of object k
    digits: tuple[np.ndarray, ...]  # int [k] each: the digit of each object
    label_kind: DenseKind

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, index: int) -> Annotations | np.ndarray:
        """The objects, or the label map, uint8 [SIDE, SIDE]."""
        owner, digits = self.owners[index], self.digits[index]
        if self.label_kind == "pixels":
            return np.concatenate([[0], digits + 1]).astype(np.uint8)[owner]
        masks = owner == np.arange(1, len(digits) + 1)[:, None, None]  # [k, SIDE, SIDE]
        return Annotations(
            boxes=np.stack([bounding_box(mask) for mask in masks]),
            labels=digits.astype(np.int64),
            masks=tuple(encode(mask) for mask in masks),
            crowd=np.zeros(len(digits), bool),
            area=masks.sum((1, 2)).astype(np.float64),
            size=(SIDE, SIDE),
        )

    def take(self, index: np.ndarray) -> SceneTruths:
        """The labels at `index`, int [m]."""
        return SceneTruths(self.owners[index], tuple(self.digits[i] for i in index), self.label_kind)

    def codes(self, kind: str) -> np.ndarray:
        """A number for each label, int32 [n]: scenes are identified by their pixels, and `kind` does not matter."""
        weights = 10 ** np.arange(max(map(len, self.digits)))
        return np.array([(digits + 1) @ weights[: len(digits)] for digits in self.digits], np.int32)

    def presence(self, num_classes: int) -> np.ndarray:
        """How many objects of each class each scene has, or whether it has pixels of it: int [n, num_classes]."""
        counts = np.stack([np.bincount(digits, minlength=10) for digits in self.digits])
        return counts if self.label_kind == "boxes" else np.concatenate([np.ones_like(counts[:, :1]), counts > 0], 1)


def bounding_box(mask: np.ndarray) -> np.ndarray:
    """The smallest box with all pixels of a mask, bool [H, W]: float64 [4] as x0, y0, x1, y1; x1 and y1 are outside."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
