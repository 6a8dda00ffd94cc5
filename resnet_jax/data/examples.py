"""Examples as they are stored, an image (encoded or pixels) and its label by index; and which are asked for."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from resnet_jax.data.images import Unreadable
from resnet_jax.files import expanded as expanded
from resnet_jax.nearest import composed, nearest

TEST_SPLITS = ("test", "validation", "val", "valid")
MEMORY = 2**33  # bytes of packed images that are held at most
EXPANSION = 200  # times its size that a file may hold: drawings in black and white reach 120, a bomb 1000


def check_size(file: Path, held: int) -> None:
    """Raises ValueError if `held` bytes, unpacked or about to be, are more than a sound file of images holds."""
    size = file.stat().st_size
    if held > max(2**26, EXPANSION * size):
        raise ValueError(f"{file} is damaged, or a trap: its {size:,} bytes claim to hold {held:,} or more")
    if held > max(MEMORY, size):
        most = f"{MEMORY / 2**30:.0f} GiB"
        raise ValueError(f"{file} unpacks to more than {most}, the most that is held; wanted: a folder of images")


class Examples(Protocol):
    """A split in storage. Reading is safe from several threads."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, int]:
        """An encoded image or its pixels, uint8 [H, W, C]; and its label."""
        ...

    def name(self, index: int) -> str:
        """What a message calls it: a path, or a place in a file."""
        ...


class Dataset(Protocol):
    """A set of images in splits."""

    @property
    def name(self) -> str: ...

    @property
    def splits(self) -> Mapping[str, int]:
        """Examples of each."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about the data, a line each: files that are not read, splits without labels."""
        ...

    def examples(self, split: str) -> Examples:
        """Of "train", or of a part of it: "train[:10%]", "train[500:]"."""
        ...


@dataclass(frozen=True, eq=False)
class Files:
    """Image files."""

    paths: Sequence[Path]
    labels: np.ndarray  # int [n]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[bytes, int]:
        path = self.paths[index]
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # of a pipe one would wait for ever
                raise Unreadable(f"{path}: not a file")
            return path.read_bytes(), int(self.labels[index])
        except OSError as error:
            raise Unreadable(f"{path}: {error.strerror}") from None

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def take(self, index: np.ndarray) -> Files:
        return Files([self.paths[i] for i in index], self.labels[index], self.classes)


@dataclass(frozen=True, eq=False)
class Items:
    """Images in memory, encoded (a sequence of bytes) or as pixels (uint8 [n, H, W, C])."""

    images: Sequence[bytes] | np.ndarray
    labels: np.ndarray  # int [n]
    classes: tuple[str, ...]
    file: str
    places: np.ndarray | None = None  # of each in the file; None: in order

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, int]:
        return self.images[index], int(self.labels[index])

    def name(self, index: int) -> str:
        return f"{self.file}, image {index if self.places is None else self.places[index]}"

    def take(self, index: np.ndarray) -> Items:
        images = self.images[index] if isinstance(self.images, np.ndarray) else [self.images[i] for i in index]
        places = index if self.places is None else self.places[index]
        return Items(images, self.labels[index], self.classes, self.file, places)


@dataclass(frozen=True, eq=False)
class Relabelled:
    """Examples under the labels of a trained net, whose classes they are by name."""

    examples: Examples
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if strange := [name for name, label in zip(self.examples.classes, self._labels, strict=True) if label < 0]:
            known = shortened(self.classes)
            raise ValueError(f"the net does not know the classes {', '.join(strange[:20])}; it knows {known}")

    @cached_property
    def _labels(self) -> list[int]:
        return places(self.examples.classes, self.classes)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, int]:
        data, label = self.examples[index]
        if not 0 <= label < len(self.examples.classes):
            return data, -1  # told of where it is served
        return data, self._labels[label]

    def name(self, index: int) -> str:
        return self.examples.name(index)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Some of the examples, under labels of their own."""

    examples: Examples
    index: np.ndarray  # int [n]
    labels: np.ndarray  # int [n]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, int]:
        return self.examples[int(self.index[index])][0], int(self.labels[index])

    def name(self, index: int) -> str:
        return self.examples.name(int(self.index[index]))


def choose(
    examples: Examples, classes: tuple[str, ...] | None, per_class: int | None, *, skip_unreadable: bool = False
) -> Examples:
    """Those of `classes` alone, which they are numbered by; of each the first `per_class` (None: all).

    Where the storage does not know its labels, every example is read once; those that cannot be read are left out
    where they are to be skipped. Of files and of images in memory they are not known before they are served, and count.

    Raises:
      Unreadable: one that cannot be read, otherwise.
      ValueError: a class that is not there, or twice; no image of one, or fewer than `per_class`.
    """
    if classes is None and per_class is None:
        return examples
    asked = examples.classes if classes is None else classes
    chosen = places(asked, examples.classes)
    if -1 in chosen:
        name = asked[chosen.index(-1)]
        raise ValueError(f"no class {name!r}; {nearest(name, examples.classes)}")
    wanted = [examples.classes[label] for label in chosen]
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"classes {', '.join(wanted)}; wanted: each once")
    own = examples.labels if isinstance(examples, Files | Items) else _labels(examples, skip_unreadable)
    members = [np.flatnonzero(own == label)[:per_class] for label in chosen]
    for name, found in zip(wanted, members, strict=True):
        if len(found) < (per_class or 1):
            raise ValueError(f"{len(found)} images of class {name!r}; wanted: {per_class or 'at least one'} of each")
    labels = np.repeat(np.arange(len(wanted)), [len(found) for found in members])
    index = np.concatenate(members)
    order = np.argsort(index, kind="stable")
    return Chosen(examples, index[order], labels[order], tuple(wanted))


def _labels(examples: Examples, skip_unreadable: bool) -> np.ndarray:
    """Of all: -1 for one that cannot be read."""
    labels = np.full(len(examples), -1)
    for i in range(len(examples)):
        try:
            labels[i] = examples[i][1]
        except Unreadable:
            if not skip_unreadable:
                raise
    return labels


def places(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The place of each name in `classes`; -1: it is not there."""
    by_name = {composed(name): place for place, name in enumerate(classes)}
    return [by_name.get(composed(name), -1) for name in names]


def rename_classes(classes: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The classes under other names: one each, in their order, or CLASS=NAME for those that get another name.

    Raises:
      ValueError: another number of names, a class that is not there, or a name given twice.
    """
    by_class = dict(name.partition("=")[::2] for name in names)
    own = {composed(name) for name in classes}
    if all("=" in name for name in names) and (
        len(names) != len(classes) or any(composed(name) in own for name in by_class)
    ):
        for name in by_class:
            if composed(name) not in own:
                raise ValueError(f"class_names: no class {name!r} to rename; {nearest(name, classes)}")
        if len(by_class) < len(names):
            raise ValueError(f"class_names {', '.join(names)}; expected each class once")
        new = {composed(name): given for name, given in by_class.items()}
        names = [new.get(composed(name), name) for name in classes]
    if len(names) != len(classes):
        raise ValueError(f"{len(names)} class names for {len(classes)} classes: {shortened(classes)}")
    names = [composed(name) for name in names]
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ValueError(f"class name {repeated[0]!r} is given to two classes; expected another name for each")
    return tuple(names)


def shortened(names: Sequence[str], most: int = 20) -> str:
    """For a message: at most so many names, separated by commas."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


@dataclass(frozen=True, eq=False)
class Part:
    """A split that is read when it is asked for first."""

    count: int  # images, as far as can be known without reading them
    read: Callable[[], Files | Items]

    def __len__(self) -> int:
        return self.count

    @cached_property
    def examples(self) -> Files | Items:
        return self.read()


@dataclass(frozen=True, eq=False)
class Stored:
    """A dataset of splits that are at hand."""

    name: str
    parts: Mapping[str, Files | Items | Part]
    notes: tuple[str, ...] = ()
    unlabelled: Mapping[str, str] = field(default_factory=dict)  # splits that cannot be used, and why

    @property
    def splits(self) -> dict[str, int]:
        return {split: len(part) for split, part in self.parts.items()}

    def examples(self, split: str) -> Files | Items:
        """A part, "train[:80%]", is cut from an order that spreads each class evenly, so that all have their share.

        Raises:
          ValueError: no such split, one that has no labels or cannot be read; a part that is empty or cannot be
            understood.
        """
        name, bracket, _ = split.partition("[")
        if name in self.unlabelled:
            raise ValueError(self.unlabelled[name])
        if name not in self.parts:
            raise ValueError(f"{self.name} has no split {name!r}; {nearest(name, self.parts)}")
        whole = self.parts[name]
        whole = whole.examples if isinstance(whole, Part) else whole
        if not bracket:
            return whole
        start, stop = _bounds(split, len(whole))
        if start >= stop:
            raise ValueError(f"{self.name}: {split!r} is empty; {name!r} has {len(whole)} images")
        return whole.take(np.sort(spread(whole.labels)[start:stop]))


def spread(labels: np.ndarray) -> np.ndarray:
    """A fixed order of labels [n] whose every stretch has all classes in their proportions, as far as can be."""
    order = np.random.default_rng(0).permutation(len(labels))
    shuffled = labels[order]
    place = np.empty(len(labels))
    for label in np.unique(labels):
        own = np.flatnonzero(shuffled == label)
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return order[np.argsort(place, kind="stable")]


def _bounds(split: str, length: int) -> tuple[int, int]:
    """First and last + 1 of "name[a:b]", where a and b are numbers or percentages, from the end if negative."""
    match = re.fullmatch(r"[^\[\]]+\[(-?\d+%?)?:(-?\d+%?)?\]", split)
    if not match:
        raise ValueError(f"split {split!r} cannot be understood; wanted: as in train, train[:10%] or train[500:]")

    def bound(text: str | None, otherwise: int) -> int:
        if text is None:
            return otherwise
        value = round(int(text[:-1]) * length / 100) if text.endswith("%") else int(text)
        return min(length, max(0, value + length if text.startswith("-") else value))

    return bound(match[1], 0), bound(match[2], length)


def default_splits(dataset: Dataset, train: str, test: str | None) -> tuple[str, str]:
    """Where to train and to test. With `test` None: the dataset's own test split, else a fifth of `train`, held out.

    Raises:
      ValueError: nothing to test on.
    """
    if test is not None:
        return train, test
    trained = [part.partition("[")[0] for part in train.split("+")]
    for name in TEST_SPLITS:
        if name in dataset.splits and name not in trained:
            return train, name
    if trained != [train]:
        said = f"{dataset.name} has no split to test on beside {train!r}"
        raise ValueError(f'{said}; name a part that is not trained on, as --data.test-split "train[80%:]"')
    return f"{train}[:80%]", f"{train}[80%:]"
