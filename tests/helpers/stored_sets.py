"""Small datasets whose pixels tell the position of each image."""

import sys

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.stored import StoredDataset


def stored(labels, splits=("train",)):
    """A dataset with one split or more; the pixels of an image are its position."""
    labels = np.asarray(labels)
    images = np.arange(len(labels), dtype=np.uint16).view(np.uint8).reshape(-1, 1, 2, 1)
    classes = tuple(map(str, range(labels.max() + 1)))
    return StoredDataset("set", {split: ArraySource(images, labels, classes, "set.npz") for split in splits})


def which(part):
    """Positions of the images of a part."""
    return [int.from_bytes(part[i][0].tobytes(), sys.byteorder) for i in range(len(part))]
