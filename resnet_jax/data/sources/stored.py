"""Datasets in files or in memory: splits that are read on demand, and parts of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.data.sources.held_out import HELD_OUT, TRAINING, Sides, held_out
from resnet_jax.data.sources.identity import Identity
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.label_kinds import strata
from resnet_jax.data.sources.packed import PackedSource
from resnet_jax.data.sources.slices import slice_bounds, spread
from resnet_jax.data.sources.subsets import JoinedSource, identify
from resnet_jax.data.sources.tar_files import TarSource
from resnet_jax.errors import did_you_mean

Source = ImageFileSource | ArraySource | PackedSource | DenseSource | TarSource


@dataclass(frozen=True, eq=False)
class LazySplit:
    """A split that is read at its first use."""

    count: int  # images, as far as known without reading them
    read: Callable[[], Source]

    def __len__(self) -> int:
        return self.count

    @cached_property
    def examples(self) -> Source:
        return self.read()


@dataclass(frozen=True, eq=False)
class StoredDataset:
    """A dataset in files or in memory; see `protocols.Dataset`."""

    name: str
    parts: Mapping[str, Source | LazySplit]
    remarks: tuple[str, ...] = ()
    unlabelled: Mapping[str, str] = field(default_factory=dict)  # splits that cannot be used, and why
    fixed: bool = False  # parts are cut by position: the order is random and never changes, or that of a text
    problems: tuple[str, ...] = ()  # invalid annotations that are skipped, a line each
    nouns: str = "images"  # what its examples are, in messages
    sides: Sides | None = None  # keeps each image of a run that has started on its side
    _identities: dict[str, Identity] = field(default_factory=dict, repr=False)  # by split, once computed

    @property
    def splits(self) -> dict[str, int]:
        return {split: len(part) for split, part in self.parts.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks, and the splits that are not used."""
        return (*self.remarks, *(f"split {name!r} is not used: {why}" for name, why in self.unlabelled.items()))

    def examples(self, split: str) -> Source | JoinedSource:
        """A split, or parts of one or several: "train[:80%]", "train[held-out]", "train+val[10:]".

        "train[held-out]" is a fifth of the images, chosen by their contents (see `held_out.held_out`), and
        "train[training]" the others. Other parts are cut from an order that spreads each class evenly, so that each
        part has its share of all classes.

        Raises:
          ValueError: an unknown split, one without labels or that cannot be read; a part that is empty, cannot be
            understood, or has an image twice.
        """
        parts = [self._part(name, index) for name, index in self._cut(split)]
        return parts[0] if len(parts) == 1 else JoinedSource(parts, parts[0].classes)

    def places(self, split: str) -> dict[str, np.ndarray]:
        """Positions, int [n], in each whole split that `split` is taken from."""
        positions: dict[str, np.ndarray] = {}
        for name, index in self._cut(split):
            index = np.arange(len(self.parts[name])) if index is None else index
            positions[name] = np.concatenate([positions[name], index]) if name in positions else index
        return positions

    def _part(self, name: str, index: np.ndarray | None) -> Source:
        whole, known = self._whole(name), self._identities.get(name)
        if known is not None and isinstance(whole, ImageFileSource):
            whole = replace(whole, contents=known.fingerprints)
        if known is not None and isinstance(whole, DenseSource) and isinstance(whole.images, ImageFileSource):
            whole = replace(whole, images=replace(whole.images, contents=known.fingerprints))
        return whole if index is None else whole.take(index)

    def _whole(self, name: str) -> Source:
        whole = self.parts[name]
        return whole.examples if isinstance(whole, LazySplit) else whole

    def _cut(self, split: str) -> list[tuple[str, np.ndarray | None]]:
        """Each part's split and positions; None for a whole split."""
        parts: list[tuple[str, np.ndarray | None]] = []
        for part in split.split("+"):
            name, bracket, _ = part.partition("[")
            if name in self.unlabelled:
                raise ValueError(self.unlabelled[name])
            if name not in self.parts:
                raise ValueError(f"{self.name} has no split {name!r}; {did_you_mean(name, self.parts)}")
            parts.append((name, self._places(name, part) if bracket else None))
        for name in {name for name, _ in parts} if len(parts) > 1 else ():
            count = len(self.parts[name])
            index = np.concatenate([np.arange(count) if i is None else i for other, i in parts if other == name])
            if twice := len(index) - len(np.unique(index)):
                raise ValueError(f"{self.name}: split {split!r} has {self._counted(twice)} of {name!r} twice")
        return parts

    def _places(self, name: str, part: str) -> np.ndarray:
        whole = self._whole(name)
        if part in (f"{name}[{TRAINING}]", f"{name}[{HELD_OUT}]"):
            identity = self._identity(name)
            held = held_out(identity.fingerprints, _strata(whole))
            held = held if self.sides is None else self.sides.apply(held, identity)
            index = np.flatnonzero(held == part.endswith(f"[{HELD_OUT}]"))
        else:
            start, stop = slice_bounds(part, len(whole))
            order = np.arange(len(whole)) if self.fixed else spread(_strata(whole))
            index = np.sort(order[start:stop])
        if not len(index):
            raise ValueError(f"{self.name}: {part!r} is empty; {name!r} has {self._counted(len(whole))}")
        return index

    def _counted(self, count: int) -> str:
        """ "1 image", "2 images" or "1 series"."""
        return f"{count} {self.nouns.removesuffix('s') if count == 1 and self.nouns != 'series' else self.nouns}"

    def _identity(self, name: str) -> Identity:
        if name not in self._identities:
            self._identities[name] = identify(self._whole(name), "contents")
        return self._identities[name]


def _strata(source: Source) -> np.ndarray:
    """Groups of images that parts of a split share evenly: int [n]; one group where labels are dense."""
    return np.zeros(len(source), np.int32) if isinstance(source, DenseSource) else strata(source.labels)
