"""Contact sheets of images with boxes, masks or label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.analysis.contact_sheet import grid
from resnet_jax.analysis.drawing import Drawn, draw_label_map, draw_objects
from resnet_jax.types import Array, Batch, Preprocess

SHOWN, COLUMNS = 12, 4  # images in a picture, and in a row of it


def dense_sheet(
    batch: Batch,
    augment: Callable[[Batch, Array], Batch],
    key: Array,
    preprocess: Preprocess,
    classes: Sequence[str],
) -> np.ndarray:
    """A batch's first images as the net sees them, augmented under `key`, with their labels: uint8 [H, W, 3].

    Args:
      batch: of `DenseLoader`.
    """
    some = {name: x[:SHOWN] for name, x in batch.items()} | {"index": np.arange(len(batch["label"][:SHOWN]))}
    augmented = {name: np.asarray(x) for name, x in jax.jit(augment)(some, key).items()}
    images = np.asarray(preprocess.undo(jnp.asarray(augmented["image"])))
    pictures = [_drawn(image, i, augmented, classes) for i, image in enumerate(images)]
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    tiles = np.zeros((len(pictures), height, width, 3), np.uint8)
    for tile, picture in zip(tiles, pictures, strict=True):
        tile[: picture.shape[0], : picture.shape[1]] = picture
    return grid(tiles, columns=COLUMNS, gap=4)


def _drawn(image: np.ndarray, i: int, batch: Batch, classes: Sequence[str]) -> np.ndarray:
    """One image with its labels; its padding is cut off."""
    height, width = batch["size"][i]
    picture, label = image[:height, :width], batch["label"][i]
    if label.ndim == 2:
        return draw_label_map(picture, label[:height, :width], classes)
    index = np.flatnonzero(label >= 0)
    names = [classes[label[k]] + (" (crowd)" if batch["crowd"][i, k] else "") for k in index]
    masks = batch["masks"][i, index, :height, :width] if "masks" in batch else None
    return draw_objects(picture, Drawn(batch["boxes"][i, index], label[index], names, masks))
