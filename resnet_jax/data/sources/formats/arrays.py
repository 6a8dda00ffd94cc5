"""Sets whose images and labels are arrays or columns: from what each file holds to checked splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.class_names import shortened
from resnet_jax.data.sources.stored import LazySplit, StoredDataset

MOST_CLASSES = 2**16  # where labels have no names: a damaged file may have any number


@dataclass(frozen=True)
class Split:
    """A split that is not read yet."""

    count: int
    read: Callable[[tuple[str, ...] | None], ArraySource]  # of the training split's classes; None: this is it


def as_items(
    images: np.ndarray, labels: np.ndarray, file: str, classes: tuple[str, ...] | None = None, first: int = 0
) -> ArraySource:
    """Images [n, H, W] or [n, H, W, C] and labels [n] or [n, 1], counted from `first`.

    Raises:
      ValueError: arrays of another kind, or a label that cannot be.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        wanted = "uint8 [n, H, W], [n, H, W, 1] or [n, H, W, 3]"
        raise ValueError(f"{file}: images are {images.dtype} {list(images.shape)}; wanted: {wanted}")
    labels = flat_labels(labels, len(images))
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        got = f"{len(images)} images, but labels are {labels.dtype} {list(labels.shape)}"
        raise ValueError(f"{file}: {got}; wanted: whole numbers, one an image")
    if not len(images) or 0 in images.shape:
        raise ValueError(f"{file}: there are no images")
    images = images[..., None] if images.ndim == 3 else images
    if labels.min() < first or (classes is None and labels.max() >= MOST_CLASSES):
        said = f"labels run from {labels.min()} to {labels.max()}"
        raise ValueError(f"{file}: {said}; wanted: {first} for the first class")
    classes = tuple(str(label) for label in range(first, int(labels.max()) + 1)) if classes is None else classes
    return ArraySource(images, labels.astype(np.int64) - first, classes, file)


def flat_labels(labels: np.ndarray, count: int) -> np.ndarray:
    """Labels [n, 1], as MedMNIST and Keras write them, as [n]; others as they are."""
    return labels[:, 0] if labels.shape == (count, 1) else labels


def without_labels(labels: np.ndarray) -> bool:
    """Whether every label is -1, as the splits of a competition have them."""
    return bool(labels.size and np.issubdtype(labels.dtype, np.signedinteger) and (labels == -1).all())


def stored(
    name: str, splits: Mapping[str, Split], *, notes: tuple[str, ...] = (), unlabelled: Mapping[str, str] | None = None
) -> StoredDataset:
    """A dataset that reads a split when it is asked for, and checks it then.

    Raises:
      ValueError: there is nothing to train on.
    """
    unlabelled = dict(unlabelled or {})
    if "train" not in splits:
        raise ValueError(f"{name} has {', '.join([*splits, *unlabelled])}, but nothing to train on")
    train = LazySplit(splits["train"].count, lambda: _training(splits["train"].read(None)))

    def part(split: str) -> LazySplit:
        return LazySplit(splits[split].count, lambda: _within(splits[split].read(train.examples.classes), split, train))

    parts = {split: train if split == "train" else part(split) for split in splits}
    notes += tuple(f"split {split!r} is not used: {reason}" for split, reason in unlabelled.items())
    return StoredDataset(name, parts, notes, unlabelled)


def _training(items: ArraySource) -> ArraySource:
    """Raises ValueError for a label out of range, or a gap in labels that have no names."""
    classes = items.classes
    numbered = any(classes == tuple(map(str, range(first, first + len(classes)))) for first in (0, 1))  # not named
    if numbered and len(absent := np.setdiff1d(np.arange(len(classes)), items.labels)):
        said = f"{items.file}: no image has label {shortened([classes[label] for label in absent], 5)}"
        raise ValueError(f"{said}, but the labels go up to {classes[-1]}; wanted: 0, 1, 2, ... without gaps")
    return _in_range(items, "train", classes)


def _within(items: ArraySource, split: str, train: LazySplit) -> ArraySource:
    return _in_range(items, split, train.examples.classes)


def _in_range(items: ArraySource, split: str, classes: tuple[str, ...]) -> ArraySource:
    outside = np.flatnonzero((items.labels >= len(classes)) | (items.labels < 0))
    if len(outside):
        bad = int(outside[0])
        raise ValueError(
            f"{items.name(bad)} of {split!r} has label {items.labels[bad]}; labels of {len(classes)} classes are "
            f"0 to {len(classes) - 1}"
        )
    return ArraySource(items.images, items.labels.astype(np.int32), classes, items.file)
