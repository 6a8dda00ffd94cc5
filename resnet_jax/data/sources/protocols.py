"""Protocols of this room: a dataset has splits, and a split is a data source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from resnet_jax.data.sources.identity import Identity
from resnet_jax.data.sources.label_kinds import Label


class DataSource(Protocol):
    """A split in storage. Reading is thread-safe."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, Label]:
        """An encoded image or its pixels, uint8 [H, W, C]; and its label, a class, a transcript or float32 [K]."""
        ...

    def name(self, index: int) -> str:
        """Name of an example in messages: a path, or a position in a file."""
        ...

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        """Identity of the images at `index`, int [n]; `kind` ("contents" or "names") matters for files only."""
        ...


@runtime_checkable
class ReadsLabels(Protocol):
    """A source whose labels can be read alone, much faster than with their examples."""

    def read_labels(self) -> np.ndarray:
        """int [n], str [n] or float32 [n, K]. Raises UnreadableImage."""
        ...


@runtime_checkable
class HasChecksums(Protocol):
    """A source that can compare its images with checksums. Reading an example does not."""

    def check(self, index: int) -> None:
        """Raises UnreadableImage for an image that differs from its checksum."""
        ...


class Dataset(Protocol):
    """A set of images in splits."""

    @property
    def name(self) -> str: ...

    @property
    def splits(self) -> Mapping[str, int]:
        """Number of examples of each split."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on the data, one line each: files that are not read, splits without labels."""
        ...

    @property
    def fixed(self) -> bool:
        """Whether parts are cut by position: the dataset never changes, or is a text, whose order matters."""
        ...

    def examples(self, split: str) -> DataSource:
        """A split ("train"), a part of it ("train[:10%]", "train[500:]") or several ("train+test")."""
        ...

    def places(self, split: str) -> dict[str, np.ndarray]:
        """The same as positions, int [n], in each whole split it is taken from."""
        ...
