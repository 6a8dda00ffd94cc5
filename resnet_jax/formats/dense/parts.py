"""Splits of annotated image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.annotations import IGNORED, DenseKind
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.formats.dense.objects import Objects, PaintedObjects

BACKGROUND = "background"


def image_files(root: Path, paths: Sequence[Path]) -> ImageFileSource:
    """Image files whose labels are not read."""
    return ImageFileSource(paths, np.full(len(paths), -1), (), str(root))


def dense_source(
    root: Path, paths: Sequence[Path], objects: Objects, classes: tuple[str, ...], label_kind: DenseKind
) -> DenseSource:
    """Images with their objects, or with label maps painted from them: the first class is then the background.

    Raises:
      ValueError: no images; or label maps of objects without masks, or of too many classes.
    """
    if not paths:
        raise ValueError(f"{root}: expected at least one image with annotations, got none")
    images = image_files(root, paths)
    if label_kind == "boxes":
        return DenseSource(images, objects, classes, label_kind)
    if not len(objects.labels):
        raise ValueError(f"{root}: expected objects with masks, got no objects")
    if not objects.has_masks:
        raise ValueError(f"{root} has boxes without masks; expected masks, or label_kind='boxes'")
    if len(classes) + 1 > IGNORED:
        raise ValueError(f"{root}: expected at most {IGNORED - 1} classes of masks, got {len(classes)}")
    return DenseSource(images, PaintedObjects(objects), (BACKGROUND, *classes), label_kind)
