"""Images in tar archives, each read where it lies: (archive, offset, size)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.identity import Identity, fingerprint, place_fingerprints
from resnet_jax.data.sources.label_kinds import Label, label_codes, label_of
from resnet_jax.errors import UnreadableImage


@dataclass(frozen=True, eq=False)
class TarSource:
    """Encoded images inside tar archives that are not compressed."""

    archives: Sequence[Path]
    archive: np.ndarray  # int [n]: of each image
    offsets: np.ndarray  # int [n], bytes
    sizes: np.ndarray  # int [n], bytes
    keys: Sequence[str]  # n: names inside the archives
    labels: np.ndarray  # str [n]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[bytes, Label]:
        path, size = self.archives[int(self.archive[index])], int(self.sizes[index])
        try:
            with path.open("rb") as file:
                file.seek(int(self.offsets[index]))
                data = file.read(size)
        except OSError as error:
            raise UnreadableImage(f"{self.name(index)}: {error.strerror}") from None
        if len(data) < size:
            raise UnreadableImage(f"{self.name(index)}: expected {size:,} bytes, got {len(data):,}; cut short?")
        return data, label_of(self.labels, index)

    def name(self, index: int) -> str:
        return f"{self.archives[int(self.archive[index])]}, {self.keys[index]}"

    def take(self, index: np.ndarray) -> TarSource:
        """The examples at `index`, int [n]."""
        arrays = {name: getattr(self, name)[index] for name in ("archive", "offsets", "sizes", "labels")}
        return replace(self, **arrays, keys=[self.keys[i] for i in index.tolist()])

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        """Names are those inside the archives; with kind "names" the fingerprints are of names and sizes."""
        names = np.array([fingerprint(os.fsencode(self.keys[i])) for i in index.tolist()], np.uint64)
        if kind == "names":
            prints = names ^ place_fingerprints("size", self.sizes[index])
        else:
            prints = np.array([fingerprint(self[i][0]) for i in index.tolist()], np.uint64)
        return Identity(kind, prints, names, label_codes(self.labels[index]))
