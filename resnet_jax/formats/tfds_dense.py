"""TFDS datasets with boxes or masks, read from prepared ArrayRecord files without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from resnet_jax.data.loading.threads import in_threads
from resnet_jax.data.sources.annotations import IGNORED, Annotations, DenseKind
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.data.sources.identity import Identity
from resnet_jax.errors import DataError, UnreadableImage
from resnet_jax.formats.tfds import TfdsDataset, TfdsExamples, check_prepared, keys_of, open_builder
from resnet_jax.images.decoding import image_size, read_label_map

CROWDS = ("is_crowd", "is_difficult")  # features of objects that evaluation ignores
LOOKED_AT = 200  # masks by which the number of classes is judged


@dataclass(frozen=True, eq=False)
class TfdsImages:
    """Encoded images at some positions of a split."""

    examples: TfdsExamples
    index: np.ndarray  # int [n]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> tuple[bytes, int]:
        return self.examples.example(int(self.index[index]))[self.examples.image], -1

    def name(self, index: int) -> str:
        return self.examples.name(int(self.index[index]))

    def take(self, index: np.ndarray) -> TfdsImages:
        return TfdsImages(self.examples, self.index[index])

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        return self.examples.identity(self.index[index], kind)


@dataclass(frozen=True, eq=False)
class TfdsTruths:
    """Labels of a split; see `dense.Truths`. The record of an example, which also has its image, is read for each."""

    examples: TfdsExamples
    num_classes: int

    def __len__(self) -> int:
        return len(self.examples)

    def codes(self, index: np.ndarray, kind: str) -> np.ndarray:
        """-1: a version of a TFDS dataset never changes."""
        return np.full(len(index), -1, np.int32)


@dataclass(frozen=True, eq=False)
class TfdsObjects(TfdsTruths):
    """Objects: boxes as shares of the image, ymin xmin ymax xmax, as TFDS has them."""

    box: str  # key of the boxes among the features of objects
    label: str | None  # of the classes; None: there is one
    skip_invalid: bool

    def __getitem__(self, index: int) -> Annotations:
        """Raises DataError for boxes without area or outside the image; with `skip_invalid` they are dropped."""
        name, example = self.examples.name(index), self.examples.example(index)
        objects: Mapping[str, Any] = example[self.examples.label]
        height, width = size = image_size(example[self.examples.image], name, upright=False)
        shares = np.asarray(objects[self.box], np.float64).reshape(-1, 4)
        boxes = shares[:, [1, 0, 3, 2]] * [width, height, width, height]
        inside = np.clip(boxes, 0, [width, height] * 2)
        valid = np.isfinite(boxes).all(1) & (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
        if not valid.all() and not self.skip_invalid:
            number = int(np.flatnonzero(~valid)[0])
            shown = " ".join(f"{value:g}" for value in boxes[number])
            problem = f"the box {shown} (x0 y0 x1 y1) of object {number} has no area in its image"
            raise DataError(f"{name}: {problem}; skip_invalid=True ignores what is invalid")
        count = len(boxes)
        labels = np.zeros(count, np.int64) if self.label is None else np.asarray(objects[self.label], np.int64)
        crowd = np.zeros(count, bool)
        for key in CROWDS:
            crowd |= np.asarray(objects.get(key, crowd), bool)
        area = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1])
        return Annotations(inside, labels, None, crowd, area, size).take(np.flatnonzero(valid))

    def presence(self, num_classes: int) -> np.ndarray:
        return self._presence

    @cached_property
    def _presence(self) -> np.ndarray:
        """Every example is read."""

        def counts(index: int) -> np.ndarray:
            return np.bincount(self[index].labels, minlength=self.num_classes)

        return np.stack(list(in_threads(counts, len(self), threads=None)))


@dataclass(frozen=True, eq=False)
class TfdsMasks(TfdsTruths):
    """Label maps in an image feature."""

    def __getitem__(self, index: int) -> np.ndarray:
        label_map, name = self.values(index), self.examples.name(index)
        outside = label_map[(label_map >= self.num_classes) & (label_map != IGNORED)]
        if outside.size:
            expected = f"0 to {self.num_classes - 1}, or {IGNORED} for ignored pixels"
            raise DataError(f"{name} has pixels of class {outside.max()}; expected {expected}")
        return label_map

    def values(self, index: int) -> np.ndarray:
        """uint8 [H, W]. Raises DataError for a mask that cannot be read."""
        try:
            return read_label_map(self.examples.example(index)[self.examples.label], self.examples.name(index))
        except UnreadableImage as error:
            raise DataError(str(error)) from None

    def presence(self, num_classes: int) -> np.ndarray:
        return self._presence

    @cached_property
    def _presence(self) -> np.ndarray:
        """Every mask is read."""

        def counts(index: int) -> np.ndarray:
            return np.bincount(self[index].ravel(), minlength=256)[: self.num_classes] > 0

        return np.stack(list(in_threads(counts, len(self), threads=None))).astype(np.int64)


@dataclass(frozen=True, eq=False)
class DenseTfdsDataset:
    """A prepared dataset of images with boxes or masks; see `protocols.Dataset`."""

    images: TfdsDataset
    label_kind: DenseKind
    skip_invalid: bool
    fixed = True  # a version never changes

    @property
    def name(self) -> str:
        return self.images.name

    @property
    def splits(self) -> dict[str, int]:
        return self.images.splits

    @property
    def notes(self) -> tuple[str, ...]:
        is_ignored = self.skip_invalid and self.label_kind == "boxes"
        return (f"{self.name}: boxes without area are ignored where they are read",) if is_ignored else ()

    def places(self, split: str) -> dict[str, np.ndarray]:
        return self.images.places(split)

    def examples(self, split: str) -> DenseSource:
        """A split, or parts of splits as TFDS writes them; raises as `TfdsDataset.examples` does."""
        examples = self.images.examples(split)
        everything = TfdsImages(examples, np.arange(len(examples)))
        if self.label_kind == "pixels":
            classes = tuple(map(str, range(self._num_mask_classes)))
            return DenseSource(everything, TfdsMasks(examples, len(classes)), classes, "pixels")
        features = _inner(self.images.builder.info.features[self.images.keys[1]])
        label = next(iter(keys_of(features, "ClassLabel")), None)
        classes = (self.images.keys[1],) if label is None else tuple(features[label].names)
        box = keys_of(features, "BBoxFeature")[0]
        return DenseSource(
            everything, TfdsObjects(examples, len(classes), box, label, self.skip_invalid), classes, "boxes"
        )

    @cached_property
    def _num_mask_classes(self) -> int:
        """One more than the largest value of some training masks, 255 apart."""
        masks = TfdsMasks(self.images.examples("train" if "train" in self.splits else next(iter(self.splits))), IGNORED)
        some = np.linspace(0, len(masks) - 1, min(LOOKED_AT, len(masks))).astype(int)
        values = [mask[mask != IGNORED].max(initial=0) for mask in (masks.values(int(i)) for i in some)]
        return int(max(values)) + 1


def open_dense_tfds(
    name: str, data_dir: str | None, label_kind: DenseKind, *, skip_invalid: bool = False
) -> DenseTfdsDataset:
    """A TFDS dataset with the feature of boxes in objects (`objects/bbox`), or of masks (`segmentation_mask`).

    The masks' classes have numbers as names, and their number is judged by 200 training masks.

    Raises:
      ValueError: no such dataset, one without such features, or one that is not prepared; see `tfds.open_tfds`.
    """
    builder = open_builder(name, data_dir)
    features = builder.info.features
    images = keys_of(features, "Image")
    if label_kind == "pixels":
        labels = [key for key in images if "mask" in key or "segmentation" in key]
    else:
        labels = [key for key, feature in features.items() if keys_of(_inner(feature), "BBoxFeature")]
    images = [key for key in images if "mask" not in key and "segmentation" not in key]
    if not images or not labels:
        expected = "masks, as segmentation_mask" if label_kind == "pixels" else "objects with boxes, as objects/bbox"
        raise ValueError(f"{name} has the features {', '.join(sorted(features))}; expected an image and {expected}")
    check_prepared(name, builder, data_dir)
    return DenseTfdsDataset(TfdsDataset(name, builder, (images[0], labels[0])), label_kind, skip_invalid)


def _inner(feature: Any) -> Mapping[str, Any]:
    """The features of a sequence's elements; empty for another feature."""
    inner: Any = getattr(feature, "feature", None)
    return inner if hasattr(inner, "items") else {}
