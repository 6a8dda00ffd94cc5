"""scikit-learn's 1,797 hand-written digits, which come with the package. See SOURCE.md."""

from __future__ import annotations

from importlib import resources

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.label_kinds import compact
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.types import LabelKind

ATTRIBUTES = {  # name: digits that have it
    "even": (0, 2, 4, 6, 8),
    "prime": (2, 3, 5, 7),
    "loop": (0, 6, 8, 9),  # a closed loop is part of the shape; a 4 may be written with one or without
    "large": (5, 6, 7, 8, 9),
}


def open_digits(label_kind: LabelKind = "class") -> StoredDataset:
    """1,437 training and 360 test images of 8 x 8 grey pixels, read from the package.

    Labels are the ten classes, or ("multi-hot") the `ATTRIBUTES` of the digit, or ("targets") its value.
    """
    with (resources.files(__package__) / "digits.npz").open("rb") as file:
        stored = np.load(file)
        images, digits, is_test, order = (stored[name] for name in ("image", "label", "test", "order"))
    images = np.round(images * (255 / 16)).astype(np.uint8)[..., None]
    labels, classes = digits.astype(np.int32), tuple(map(str, range(10)))
    if label_kind == "multi-hot":
        labels, classes = np.stack([np.isin(digits, which) for which in ATTRIBUTES.values()], 1), tuple(ATTRIBUTES)
    elif label_kind == "targets":
        labels, classes = digits[:, None], ("value",)

    def part(split: str, index: np.ndarray) -> ArraySource:
        return ArraySource(images[index], compact(labels[index]), classes, f"digits, {split}")

    test = is_test[order]
    splits = {"train": part("train", order[~test]), "test": part("test", order[test])}
    return StoredDataset("digits", splits, fixed=True)
