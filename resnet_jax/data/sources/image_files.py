"""Image files, read as they are needed."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.identity import (
    Identity,
    file_fingerprints,
    name_and_size_fingerprints,
    name_fingerprints,
)
from resnet_jax.data.sources.label_kinds import Label, label_codes, label_of
from resnet_jax.errors import UnreadableImage


@dataclass(frozen=True, eq=False)
class ImageFileSource:
    """Image files with their labels."""

    paths: Sequence[Path]
    labels: np.ndarray  # int [n], str [n] or float32 [n, K]
    classes: tuple[str, ...]
    root: str = ""  # folder of the dataset; recorded names are relative to it
    contents: np.ndarray | None = None  # uint64 [n]: fingerprints, if known

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[bytes, Label]:
        path = self.paths[index]
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
                raise UnreadableImage(f"{path}: not a file")
            return path.read_bytes(), label_of(self.labels, index)
        except OSError as error:
            raise UnreadableImage(f"{path}: {error.strerror}") from None

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def take(self, index: np.ndarray) -> ImageFileSource:
        """The examples at `index`, int [n]."""
        contents = None if self.contents is None else self.contents[index]
        return replace(self, paths=[self.paths[i] for i in index], labels=self.labels[index], contents=contents)

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        paths, labels = [self.paths[i] for i in index], label_codes(self.labels[index])
        names = name_fingerprints(paths, self.root)
        if kind == "names":
            return Identity(kind, name_and_size_fingerprints(paths, names), names, labels)
        fingerprints = file_fingerprints(paths, self.root) if self.contents is None else self.contents[index]
        return Identity("contents", fingerprints, names, labels)
