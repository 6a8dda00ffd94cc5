"""Parts of data sources, and sources under other labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from resnet_jax.data.sources.annotations import (
    Annotations,
    DenseKind,
    as_annotations,
    is_label_map,
    relabel_annotations,
)
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.class_names import join_names, places, split_names
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.data.sources.identity import Identity
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.label_kinds import Label, LabelKind, are_texts
from resnet_jax.data.sources.packed import PackedSource
from resnet_jax.data.sources.protocols import DataSource, ReadsLabels
from resnet_jax.data.sources.tar_files import TarSource
from resnet_jax.errors import DataError, did_you_mean


@dataclass(frozen=True, eq=False)
class RelabelledSource:
    """A source under the labels of a trained net, by the names of its classes (or targets)."""

    examples: DataSource
    classes: tuple[str, ...]
    label_kind: LabelKind | None = None  # None: not known
    drop_others: bool = False  # of dense labels: objects of other classes are dropped, their pixels ignored

    def __post_init__(self) -> None:
        """Raises ValueError for a class that `classes` does not have, or missing targets."""
        if self.drop_others:
            return
        unknown = [name for name, place in zip(self.examples.classes, self._places, strict=True) if place < 0]
        if unknown:
            expected = join_names(self.classes)
            raise ValueError(f"unknown classes {', '.join(unknown[:20])}; expected those of the net: {expected}")
        labels = known_labels(self.examples)
        if labels is not None and labels.ndim == 2 and len(self._places) < len(self.classes):
            # An absent class is 0, an absent target unknown.
            if self.label_kind == "targets" or (self.label_kind is None and not np.isin(labels, (0, 1)).all()):
                expected, got = join_names(self.classes), join_names(self.examples.classes)
                missing = join_names([name for i, name in enumerate(self.classes) if i not in self._places])
                raise ValueError(f"expected the targets {expected}, got {got}; missing: {missing}")

    @cached_property
    def _places(self) -> list[int]:
        return places(self.examples.classes, self.classes)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, Label]:
        data, label = self.examples[index]
        if isinstance(label, Annotations) or is_label_map(label):
            return data, relabel_annotations(label, np.array(self._places))
        if isinstance(label, np.ndarray):
            return data, relabel(label[None], self.examples.classes, self.classes)[0]
        if isinstance(label, str):
            return data, label
        if not 0 <= label < len(self.examples.classes):
            return data, -1  # the loader reports it
        return data, self._places[label]

    def name(self, index: int) -> str:
        return self.examples.name(index)

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        return self.examples.identity(index, kind)

    def label(self, index: int) -> Any:
        """The dense label of an example, by `classes`; see `DenseSource.label`."""
        return relabel_annotations(dense(self.examples).label(index), np.array(self._places))

    def annotations(self, index: int) -> Annotations:
        return as_annotations(self.label(index))

    @property
    def category_ids(self) -> tuple[int, ...]:
        """See `DenseSource`; (): the data has not all of these classes."""
        ids = dict(zip(self._places, dense(self.examples).category_ids, strict=False))
        return tuple(ids[place] for place in range(len(self.classes))) if {*range(len(self.classes))} <= {*ids} else ()

    def image_id(self, index: int) -> int | None:
        return dense(self.examples).image_id(index)

    def presence(self) -> np.ndarray:
        """See `DenseSource.presence`: int [n, K]."""
        counts = dense(self.examples).presence()
        chosen = [old for old, new in enumerate(self._places) if new >= 0]
        columns = np.zeros((len(counts), len(self.classes)), counts.dtype)
        columns[:, [self._places[old] for old in chosen]] = counts[:, chosen]
        return columns


@dataclass(frozen=True, eq=False)
class Subset:
    """The examples at some positions, with their labels or with others."""

    examples: DataSource
    index: np.ndarray  # int [n]
    labels: np.ndarray | None = None  # int [n]; None: their labels
    classes: tuple[str, ...] = ()  # of `labels`; () without them: those of the examples

    def __post_init__(self) -> None:
        """Raises ValueError for other classes without labels."""
        if self.labels is None:
            if self.classes not in ((), self.examples.classes):
                raise ValueError(f"expected labels for other classes ({join_names(self.classes)}), got labels=None")
            object.__setattr__(self, "classes", self.examples.classes)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, Label]:
        data, label = self.examples[int(self.index[index])]
        return data, label if self.labels is None else int(self.labels[index])

    def name(self, index: int) -> str:
        return self.examples.name(int(self.index[index]))

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        identity = self.examples.identity(self.index[index], kind)
        return identity if self.labels is None else replace(identity, labels=self.labels[index].astype(np.int32))

    def label(self, index: int) -> Any:
        """The dense label of an example; see `DenseSource.label`."""
        return dense(self.examples).label(int(self.index[index]))

    def annotations(self, index: int) -> Annotations:
        return as_annotations(self.label(index))

    @property
    def category_ids(self) -> tuple[int, ...]:
        return dense(self.examples).category_ids

    def image_id(self, index: int) -> int | None:
        return dense(self.examples).image_id(int(self.index[index]))

    def presence(self) -> np.ndarray:
        """See `DenseSource.presence`: int [n, K]."""
        return dense(self.examples).presence()[self.index]


@dataclass(frozen=True, eq=False)
class JoinedSource:
    """Parts of several splits, one after the other."""

    parts: Sequence[ImageFileSource | ArraySource | PackedSource | DenseSource | TarSource]
    classes: tuple[str, ...]

    @property
    def labels(self) -> np.ndarray:
        return np.concatenate([part.labels for part in self.parts if not isinstance(part, DenseSource)])

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, Label]:
        part, place = self._place(index)
        return part[place]

    def name(self, index: int) -> str:
        part, place = self._place(index)
        return part.name(place)

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        ends = np.cumsum([len(part) for part in self.parts])
        which = np.searchsorted(ends, index, side="right")
        starts = np.concatenate([[0], ends])
        identities = [part.identity(index[which == i] - starts[i], kind) for i, part in enumerate(self.parts)]
        back = np.argsort(np.argsort(which, kind="stable"), kind="stable")
        arrays = zip(*((one.fingerprints, one.names, one.labels) for one in identities), strict=True)
        return Identity(identities[0].kind, *(np.concatenate(x)[back] for x in arrays))

    def label(self, index: int) -> Any:
        """The dense label of an example; see `DenseSource.label`."""
        part, place = self._place(index)
        return dense(part).label(place)

    def annotations(self, index: int) -> Annotations:
        return as_annotations(self.label(index))

    @property
    def category_ids(self) -> tuple[int, ...]:
        return dense(self.parts[0]).category_ids

    def image_id(self, index: int) -> int | None:
        part, place = self._place(index)
        return dense(part).image_id(place)

    def presence(self) -> np.ndarray:
        """See `DenseSource.presence`: int [n, K]."""
        return np.concatenate([dense(part).presence() for part in self.parts])

    def _place(self, index: int) -> tuple[ImageFileSource | ArraySource | PackedSource | DenseSource | TarSource, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        for part in self.parts:
            if index < len(part):
                break
            index -= len(part)
        return part, index


def dense_kind(source: object) -> DenseKind | None:
    """The kind of a source's labels if they are dense; None: they are not."""
    if isinstance(source, DenseSource):
        return source.label_kind
    if isinstance(source, JoinedSource):
        return dense_kind(source.parts[0])
    return dense_kind(source.examples) if isinstance(source, Subset | RelabelledSource) else None


def dense(source: object) -> DenseSource | JoinedSource | Subset | RelabelledSource:
    """A source whose labels are dense. Raises TypeError for another."""
    if dense_kind(source) is None or not isinstance(source, DenseSource | JoinedSource | Subset | RelabelledSource):
        raise TypeError(f"expected a source of label_kind='pixels' or 'boxes', got a {type(source).__name__}")
    return source


def relabel(labels: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Labels by `names` as labels by `classes`: int [n] -> int [n]; float [n, K] -> [n, K'], 0 for other classes.

    Transcripts, str [n], stay as they are.
    """
    if are_texts(labels):
        return labels
    index = places(names, classes)
    if labels.ndim == 1:
        return np.array(index)[labels]
    columns = np.zeros((len(labels), len(classes)), labels.dtype)
    columns[:, index] = labels
    return columns


def identify(source: DataSource, kind: str) -> Identity:
    """Identity of all images; `kind` is "contents", or "names" for files that should not be read."""
    return source.identity(np.arange(len(source)), kind)


def select_classes(
    source: DataSource, classes: tuple[str, ...] | None, per_class: int | None, *, skip_unreadable: bool = False
) -> DataSource:
    """The examples of `classes` (None: all), numbered by them; the first `per_class` of each (None: all).

    Where the storage does not know its labels, every example is read once; with `skip_unreadable`, those that cannot be
    read are dropped. Files that cannot be read and images in memory are known only when they are served, and count.

    Raises:
      DataError: an example that cannot be read, without `skip_unreadable`.
      ValueError: labels that are not classes; an unknown class, or one given twice; no image of a class, or fewer than
        `per_class`.
    """
    if classes is None and per_class is None:
        return source
    names = split_names(source.classes if classes is None else classes, source.classes)
    selected = places(names, source.classes)
    if -1 in selected:
        name = names[selected.index(-1)]
        raise ValueError(f"no class {name!r}; {did_you_mean(name, source.classes)}")
    names = tuple(source.classes[label] for label in selected)
    if len(set(names)) < len(names):
        raise ValueError(f"classes {', '.join(names)}; expected each class once")
    if dense_kind(source) is not None:
        if per_class is not None:
            hint = "a part of the split is smaller: train[:100]"
            raise ValueError(f"per_class={per_class}: an image has objects of several classes; {hint}")
        return RelabelledSource(source, names, drop_others=True)
    all_labels = labels_of(source, skip_unreadable=skip_unreadable)
    if all_labels.ndim != 1 or are_texts(all_labels):
        asked = f"per_class={per_class}" if classes is None else f"classes={classes!r}"
        raise ValueError(f"{asked}: expected one class per image, as label_kind='class' reads")
    members = [np.flatnonzero(all_labels == label)[:per_class] for label in selected]
    for name, index in zip(names, members, strict=True):
        if len(index) < (per_class or 1):
            expected = f"{per_class}" if per_class else "at least one"
            raise ValueError(f"class {name!r}: expected {expected} of its images, got {len(index)}")
    labels = np.repeat(np.arange(len(names)), [len(index) for index in members])
    index = np.concatenate(members)
    order = np.argsort(index, kind="stable")
    return Subset(source, index[order], labels[order], names)


def known_labels(source: DataSource) -> np.ndarray | None:
    """int [n], str [n] or float32 [n, K]; None where labels are known only once the examples are read."""
    if dense_kind(source) is not None:
        return None
    if isinstance(source, ImageFileSource | ArraySource | PackedSource | TarSource | JoinedSource):
        return source.labels
    if isinstance(source, Subset):
        labels = known_labels(source.examples) if source.labels is None else None
        return source.labels if labels is None else labels[source.index]
    if isinstance(source, RelabelledSource) and (labels := known_labels(source.examples)) is not None:
        return relabel(labels, source.examples.classes, source.classes)
    return None


def labels_of(source: DataSource, *, skip_unreadable: bool = False) -> np.ndarray:
    """int [n], str [n] or float32 [n, K]. Where the storage does not know them, each example is read.

    -1 is the class of an unreadable one, "" its transcript.

    Raises:
      DataError: an example that cannot be read, without `skip_unreadable`.
    """
    if (known := known_labels(source)) is not None:
        return known
    if isinstance(source, ReadsLabels) and not skip_unreadable:
        return source.read_labels()
    labels: list[Any] = []
    for i in range(len(source)):
        try:
            labels.append(source[i][1])
        except DataError:
            if not skip_unreadable:
                raise
            labels.append(None)
    unknown = "" if any(isinstance(label, str) for label in labels) else -1
    return np.array([unknown if label is None else label for label in labels])
