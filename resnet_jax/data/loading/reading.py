"""Every image, series, sound or text read once; and the images of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.loading.threads import in_threads
from resnet_jax.data.sources.label_kinds import LabelKind, out_of_range
from resnet_jax.data.sources.protocols import DataSource, HasChecksums
from resnet_jax.data.sources.subsets import dense_kind, known_labels
from resnet_jax.errors import DataError, UnreadableImage
from resnet_jax.images.decoding import read_image

SIDE = 32  # of the canvas on which images with dense labels are read, pixels


def class_counts(source: object, num_classes: int, label_kind: LabelKind = "class") -> np.ndarray | None:
    """Images of each class: int [K]; None for targets, and where labels are known only once the examples are read.

    Args:
      source: examples, or what serves them.
    """
    if isinstance(source, StreamingLoader):  # its `labels` may have to read every image
        labels = known_labels(source.examples)
    else:
        labels = getattr(source, "labels", None)
    if labels is None:
        return None
    if labels.ndim == 1:
        return np.bincount(labels[labels >= 0], minlength=num_classes)
    return (labels > 0.5).sum(0) if label_kind == "multi-hot" else None


def read_all(examples: DataSource, *, threads: int | None = None) -> Iterator[tuple[int, str | None]]:
    """Reads and decodes every example once, in order: its class, and why it cannot be used (or None).

    Where the source has checksums, they are compared.

    The class is -1 for an image that cannot be read, and for labels of other kinds. `threads` None: one per processor.
    """

    dense = DenseLoader(examples, SIDE, SIDE, max_boxes=1) if dense_kind(examples) else None

    def read(index: int) -> tuple[int, str | None]:
        label = -1
        if dense is not None:
            try:
                dense.decode(index)
            except DataError as error:
                return label, str(error)
            return label, None
        try:
            data, stored_label = examples[index]
            label = stored_label if isinstance(stored_label, int) else -1
            read_image(data, examples.name(index))
            if isinstance(examples, HasChecksums):
                examples.check(index)
        except UnreadableImage as error:
            return label, str(error)
        problem = out_of_range(label, len(examples.classes)) if isinstance(stored_label, int) else ""
        return label, f"{examples.name(index)}: {problem}" if problem else None

    return in_threads(read, len(examples), threads=threads)


def read_sequences(
    examples: DataSource, read_item: Callable[[Any, str], Any], *, threads: int | None = None
) -> Iterator[tuple[int, str | None]]:
    """The same for series, sounds and texts, which `read_item(item, name)` reads."""

    def read(index: int) -> tuple[int, str | None]:
        label = -1
        try:
            item, stored_label = examples[index]
            label = stored_label if isinstance(stored_label, int) else -1
            read_item(item, examples.name(index))
        except DataError as error:
            return label, str(error)
        return label, None

    return in_threads(read, len(examples), threads=threads)
