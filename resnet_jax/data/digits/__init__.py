"""scikit-learn's 1,797 hand-written digits, which come with the package. See SOURCE.md."""

from __future__ import annotations

from importlib import resources

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.stored import StoredDataset


def open_digits() -> StoredDataset:
    """1,437 training and 360 test images of 8 x 8 grey pixels, ten classes, read from the package."""
    with (resources.files(__package__) / "digits.npz").open("rb") as file:
        stored = np.load(file)
        images, labels, is_test, order = (stored[name] for name in ("image", "label", "test", "order"))
    images = np.round(images * (255 / 16)).astype(np.uint8)[..., None]
    classes = tuple(map(str, range(10)))

    def part(split: str, index: np.ndarray) -> ArraySource:
        return ArraySource(images[index], labels[index].astype(np.int32), classes, f"digits, {split}")

    test = is_test[order]
    return StoredDataset(
        "digits", {"train": part("train", order[~test]), "test": part("test", order[test])}, fixed=True
    )
