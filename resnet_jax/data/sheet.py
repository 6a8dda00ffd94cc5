"""Batches as pictures, to be looked at."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import numpy as np

from resnet_jax.types import Array, Batch, Preprocess

SHOWN = 64  # images in a picture


def as_seen(batch: Batch, augment: Callable[[Batch, Array], Batch], key: Array, preprocess: Preprocess) -> np.ndarray:
    """A batch's first images as the net gets them when `augment` draws from `key`: one picture, uint8 [H, W, 3]."""
    some = {name: x[:SHOWN] for name, x in batch.items()}
    some["index"] = np.arange(len(some["label"]))
    return grid(np.asarray(preprocess.undo(jax.jit(augment)(some, key)["image"])))


def grid(images: np.ndarray, columns: int = 8, gap: int = 2) -> np.ndarray:
    """One picture of many, row by row, `gap` black pixels apart: uint8 [n, H, W, C] -> uint8 [H', W', 3], C 1 or 3.

    Raises:
      ValueError: not such images.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(f"images are {images.dtype} {list(images.shape)}; wanted uint8 [n, H, W, 1 or 3], n >= 1")
    n, height, width, _ = images.shape
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    picture = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        picture[y : y + height, x : x + width] = image
    return picture
