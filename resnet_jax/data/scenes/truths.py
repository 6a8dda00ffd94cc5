"""Labels of composed scenes, made from the object that each pixel belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resnet_jax.data.scenes.compose import SIDE
from resnet_jax.data.sources.annotations import IGNORED, Annotations, DenseKind
from resnet_jax.images.rle import encode


@dataclass(frozen=True, eq=False)
class SceneTruths:
    """Labels of n scenes; see `sources.dense.Truths`."""

    owners: np.ndarray  # uint8 [n, SIDE, SIDE]: 0 for the background, k + 1 for a pixel of object k
    edges: np.ndarray  # bool [n, SIDE, SIDE]: pixels that have no class in a label map
    digits: tuple[np.ndarray, ...]  # int [k] each: the digit of each object
    label_kind: DenseKind

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, index: int) -> Annotations | np.ndarray:
        """The objects, or the label map, uint8 [SIDE, SIDE]."""
        owner, digits = self.owners[index], self.digits[index]
        if self.label_kind == "pixels":
            classes = np.concatenate([[0], digits + 1]).astype(np.uint8)[owner]
            return np.where(self.edges[index], np.uint8(IGNORED), classes)
        objects = owner == np.arange(1, len(digits) + 1)[:, None, None]  # bool [k, SIDE, SIDE]
        masks = tuple(map(encode, objects))
        return Annotations(
            boxes=np.stack([mask.box for mask in masks]),
            labels=digits.astype(np.int64),
            masks=masks,
            crowd=np.zeros(len(digits), bool),
            area=np.array([mask.area for mask in masks], np.float64),
            size=(SIDE, SIDE),
        )

    def codes(self, index: np.ndarray, kind: str) -> np.ndarray:
        """A number for each label at `index`, int32 [m]; `kind` does not matter, for labels are in no file."""
        return np.array([(self.digits[i] + 1) @ 11 ** np.arange(len(self.digits[i])) for i in index], np.int32)

    def presence(self, num_classes: int) -> np.ndarray:
        """How many objects of each class each scene has, or whether it has pixels of it: int [n, num_classes]."""
        counts = np.stack([np.bincount(digits, minlength=10) for digits in self.digits])
        return counts if self.label_kind == "boxes" else np.concatenate([np.ones_like(counts[:, :1]), counts > 0], 1)
