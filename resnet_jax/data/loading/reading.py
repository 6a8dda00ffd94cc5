"""Every image read once; and the images of each class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resnet_jax.data.loading.decoding import Unreadable, read_image
from resnet_jax.data.loading.streaming import Photographs, in_threads
from resnet_jax.data.sources.stored import Examples, known_labels


def class_counts(source: object, num_classes: int) -> np.ndarray | None:
    """Images of each class: int [K]; None where the labels are known only once the examples are read.

    Args:
      source: examples, or what serves them.
    """
    if isinstance(source, Photographs):  # whose own labels are read where the storage does not know them
        labels = known_labels(source.examples)
    else:
        labels = getattr(source, "labels", None)
    return None if labels is None else np.bincount(labels[labels >= 0], minlength=num_classes)


def read_all(examples: Examples, *, threads: int | None = None) -> Iterator[tuple[int, str | None]]:
    """Reads and decodes every example once, in order: its label, and why it cannot be used (or None).

    An image that cannot be read has the label -1, if its storage does not know it. `threads` None: one per processor.
    """

    def read(index: int) -> tuple[int, str | None]:
        label = -1
        try:
            data, label = examples[index]
            read_image(data, examples.name(index))
        except Unreadable as error:
            return label, str(error)
        if not 0 <= label < len(examples.classes):
            said = f"label {label}; labels of {len(examples.classes)} classes are 0 to {len(examples.classes) - 1}"
            return label, f"{examples.name(index)}: {said}"
        return label, None

    return in_threads(read, len(examples), threads=threads)
