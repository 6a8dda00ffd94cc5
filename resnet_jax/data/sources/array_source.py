"""Examples in memory: images, encoded or as pixels; sounds, encoded; series; texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnet_jax.data.sources.identity import Identity, fingerprint
from resnet_jax.data.sources.label_kinds import Label, label_codes, label_of


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Examples in memory: images as pixels (uint8 [n, H, W, C]), or a sequence of items.

    An item is an encoded image or sound (bytes), a text (its UTF-8 bytes) or a series (float32 [l, C]).
    """

    images: Sequence[bytes | np.ndarray] | np.ndarray
    labels: np.ndarray  # int [n], str [n] or float32 [n, K]
    classes: tuple[str, ...]
    file: str
    places: np.ndarray | None = None  # of each example in the file: positions, or str ("line 12"); None: in order

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, Label]:
        return self.images[index], label_of(self.labels, index)

    def name(self, index: int) -> str:
        place = index if self.places is None else self.places[index]
        return f"{self.file}, {place}" if isinstance(place, str) else f"{self.file}, image {place}"

    def take(self, index: np.ndarray) -> ArraySource:
        """The examples at `index`, int [n]."""
        images = self.images[index] if isinstance(self.images, np.ndarray) else [self.images[i] for i in index]
        places = index if self.places is None else self.places[index]
        return ArraySource(images, self.labels[index], self.classes, self.file, places)

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        fingerprints = np.array([fingerprint(self.images[i]) for i in index], np.uint64)
        return Identity("contents", fingerprints, np.zeros_like(fingerprints), label_codes(self.labels[index]))
