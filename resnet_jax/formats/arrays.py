"""Datasets whose images and labels are arrays or columns: from what each file holds to checked splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.label_kinds import LabelKind, are_texts, compact, out_of_range
from resnet_jax.data.sources.stored import LazySplit, StoredDataset

MOST_CLASSES = 2**16  # where labels have no names: a corrupted file may have any number


@dataclass(frozen=True)
class UnreadSplit:
    """A split that is not read yet."""

    count: int
    read: Callable[[tuple[str, ...] | None], ArraySource]  # takes the training split's classes; None: this is it
    noun: str = "image"  # what an example is, in messages


def as_source(
    images: np.ndarray,
    labels: np.ndarray,
    file: str,
    classes: tuple[str, ...] | None = None,
    first: int = 0,
    *,
    label_kind: LabelKind = "class",
) -> ArraySource:
    """A source of images [n, H, W] or [n, H, W, C] and labels (see `checked_labels`), classes counted from `first`.

    Raises:
      ValueError: arrays of another kind, or an impossible label.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        expected = "uint8 [n, H, W], [n, H, W, 1] or [n, H, W, 3]"
        raise ValueError(f"{file}: expected images {expected}, got {images.dtype} {list(images.shape)}")
    labels = checked_labels(labels, len(images), file, label_kind)
    if not len(images) or 0 in images.shape:
        raise ValueError(f"{file}: there are no images")
    images = images[..., None] if images.ndim == 3 else images
    if label_kind != "class":
        names = column_names(labels.shape[1], label_kind) if classes is None else classes
        if len(names) != labels.shape[1]:
            raise ValueError(f"{file}: expected {labels.shape[1]} names, one per column of labels, got {len(names)}")
        return ArraySource(images, labels, names, file)
    if labels.min() < first or (classes is None and labels.max() >= MOST_CLASSES):
        raise ValueError(
            f"{file}: labels run from {labels.min()} to {labels.max()}; expected {first} for the first class"
        )
    classes = tuple(str(label) for label in range(first, int(labels.max()) + 1)) if classes is None else classes
    return ArraySource(images, labels.astype(np.int64) - first, classes, file)


def checked_labels(labels: np.ndarray, count: int, file: str, label_kind: LabelKind) -> np.ndarray:
    """Labels of `count` images: int [n] (or [n, 1]) classes, 0 or 1 in [n, K], or finite numbers [n] or [n, T].

    Returns int [n], or float32 [n, K].

    Raises:
      ValueError: labels of another kind; the message names the task that has them.
    """
    problem = f"{file}: {count} images, but labels are {labels.dtype} {list(labels.shape)}"
    is_number = any(np.issubdtype(labels.dtype, kind) for kind in (np.integer, np.floating, np.bool_))
    rows = labels[:, None] if labels.ndim == 1 else labels
    is_table = is_number and rows.ndim == 2 and len(rows) == count and rows.shape[1] > 0
    is_multi_hot = is_table and labels.ndim == 2 and bool(np.isin(labels, (0, 1)).all())
    if label_kind == "class":
        labels = flat_labels(labels, count)
        if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
            hint = "; label_kind='multi-hot' has several classes per image" if is_multi_hot else ""
            hint = hint or "; label_kind='targets' predicts numbers" * is_table
            raise ValueError(f"{problem}; expected whole numbers, one per image{hint}")
        return labels
    if label_kind == "multi-hot":
        if not is_multi_hot:
            raise ValueError(f"{problem}; expected [n, K], 1 for each of K classes that an image has, else 0")
        return compact(rows)
    if not is_table:
        raise ValueError(f"{problem}; expected numbers [n] or [n, T]")
    with np.errstate(over="ignore"):
        targets = compact(rows)
    if len(wrong := np.flatnonzero(~np.isfinite(targets).all(1))):
        raise ValueError(f"{file}: expected finite targets, got {rows[wrong[0]].tolist()} for image {wrong[0]}")
    return targets


def column_names(count: int, label_kind: LabelKind) -> tuple[str, ...]:
    """Names of the columns of labels that have none: 0, 1, ... or target, or target0, target1, ..."""
    if label_kind == "targets":
        return ("target",) if count == 1 else tuple(f"target{i}" for i in range(count))
    return tuple(map(str, range(count)))


def flat_labels(labels: np.ndarray, count: int) -> np.ndarray:
    """Labels [n, 1], as MedMNIST and Keras write them, as [n]; others as they are."""
    return labels[:, 0] if labels.shape == (count, 1) else labels


def missing_labels(labels: np.ndarray, label_kind: LabelKind) -> str:
    """The placeholder of all labels, as in the test splits of competitions: "NaN" or "-1"; "" for real labels.

    -1 is a number like others where targets are expected.
    """
    if not labels.size:
        return ""
    if np.issubdtype(labels.dtype, np.floating):
        return "NaN" if np.isnan(labels).all() else ""
    are_minus_one = np.issubdtype(labels.dtype, np.signedinteger) and (labels == -1).all()
    return "-1" if are_minus_one and label_kind != "targets" else ""


def stored(
    name: str,
    splits: Mapping[str, UnreadSplit],
    remarks: tuple[str, ...] = (),
    unlabelled: Mapping[str, str] | None = None,
) -> StoredDataset:
    """A dataset that reads a split at its first use, and checks it then.

    Raises:
      ValueError: there is nothing to train on.
    """
    unlabelled = unlabelled or {}
    if "train" not in splits:
        raise ValueError(f"{name} has {', '.join([*splits, *unlabelled])}, but nothing to train on")
    train = LazySplit(splits["train"].count, lambda: _training(splits["train"].read(None), splits["train"].noun))

    def part(split: str) -> LazySplit:
        def read() -> ArraySource:
            classes = train.examples.classes
            return _in_range(splits[split].read(classes), split, classes)

        return LazySplit(splits[split].count, read)

    parts = {split: train if split == "train" else part(split) for split in splits}
    return StoredDataset(name, parts, remarks, unlabelled)


def _training(source: ArraySource, noun: str) -> ArraySource:
    """Raises ValueError for a label out of range, or a gap in labels that have no names."""
    classes = source.classes
    if not _are_classes(source):
        return _in_range(source, "train", classes)
    numbered = any(classes == tuple(map(str, range(first, first + len(classes)))) for first in (0, 1))  # not named
    if numbered and len(absent := np.setdiff1d(np.arange(len(classes)), source.labels)):
        problem = f"{source.file}: no {noun} has label {join_names([classes[label] for label in absent], 5)}"
        raise ValueError(f"{problem}, but the labels go up to {classes[-1]}; expected 0, 1, 2, ... without gaps")
    return _in_range(source, "train", classes)


def _in_range(source: ArraySource, split: str, classes: tuple[str, ...]) -> ArraySource:
    labels = source.labels
    if labels.ndim == 2 and labels.shape[1] != len(classes):
        expected = f"{len(classes)} columns of labels, as in 'train'"
        raise ValueError(f"{source.file}: expected {expected}, got {labels.shape[1]} in {split!r}")
    if _are_classes(source) and len(outside := np.flatnonzero((labels >= len(classes)) | (labels < 0))):
        bad = int(outside[0])
        raise ValueError(f"{source.name(bad)} of {split!r} has {out_of_range(labels[bad], len(classes))}")
    return replace(source, labels=compact(labels), classes=classes)


def _are_classes(source: ArraySource) -> bool:
    """Whether labels are one class per example: neither rows, nor transcripts, nor those of texts without labels."""
    return source.labels.ndim == 1 and not are_texts(source.labels) and bool(source.classes)
