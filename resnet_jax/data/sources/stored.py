"""Examples as they are stored, an image (encoded or pixels) and its label by index; and which are asked for."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from resnet_jax.data.loading.decoding import Unreadable
from resnet_jax.data.sources.identity import (
    Identity,
    Sides,
    file_fingerprints,
    fingerprint,
    held_out,
    name_and_size_fingerprints,
    name_fingerprints,
)
from resnet_jax.errors import composed, nearest
from resnet_jax.files import expanded as expanded

TEST_SPLITS = ("test", "validation", "val", "valid")
TRAINING, HELD_OUT = "training", "held-out"  # the two parts of a split that `identity.held_out` makes
SLICE = re.compile(r"([^\[\]+]+)\[(-?\d+%?)?:(-?\d+%?)?\]")  # train[10%:20%]
Holdout = Literal["digest", "position"]
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

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        """Which images those at `index`, int [n], are; `kind` ("contents" or "names") matters for files alone."""
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

    @property
    def fixed(self) -> bool:
        """Whether it has one version for ever, so that places in it name its images."""
        ...

    def examples(self, split: str) -> Examples:
        """Of "train", or of a part of it: "train[:10%]", "train[500:]"; or of several, "train+test"."""
        ...

    def places(self, split: str) -> dict[str, np.ndarray]:
        """The same as places, int [n], in each whole split that it is of."""
        ...


@dataclass(frozen=True, eq=False)
class Files:
    """Image files."""

    paths: Sequence[Path]
    labels: np.ndarray  # int [n]
    classes: tuple[str, ...]
    root: str = ""  # folder of the dataset, which names in a record start from
    contents: np.ndarray | None = None  # uint64 [n]: fingerprints, where they are known

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
        contents = None if self.contents is None else self.contents[index]
        return replace(self, paths=[self.paths[i] for i in index], labels=self.labels[index], contents=contents)

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        paths, labels = [self.paths[i] for i in index], self.labels[index].astype(np.int32)
        names = name_fingerprints(paths, self.root)
        if kind == "names":
            return Identity(kind, name_and_size_fingerprints(paths, names), names, labels)
        found = file_fingerprints(paths, self.root) if self.contents is None else self.contents[index]
        return Identity("contents", found, names, labels)


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

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        found = np.array([fingerprint(self.images[i]) for i in index], np.uint64)
        return Identity("contents", found, np.zeros_like(found), self.labels[index].astype(np.int32))


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

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        return self.examples.identity(index, kind)


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

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        return replace(self.examples.identity(self.index[index], kind), labels=self.labels[index].astype(np.int32))


@dataclass(frozen=True, eq=False)
class Subset:
    """The examples at some places, under their own labels."""

    examples: Examples
    index: np.ndarray  # int [n]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.examples.classes

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, int]:
        return self.examples[int(self.index[index])]

    def name(self, index: int) -> str:
        return self.examples.name(int(self.index[index]))

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        return self.examples.identity(self.index[index], kind)


@dataclass(frozen=True, eq=False)
class Joined:
    """Parts of several splits, one after the other."""

    parts: Sequence[Files | Items]
    classes: tuple[str, ...]

    @property
    def labels(self) -> np.ndarray:
        return np.concatenate([part.labels for part in self.parts])

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: int) -> tuple[bytes | np.ndarray, int]:
        part, place = self._place(index)
        return part[place]

    def name(self, index: int) -> str:
        part, place = self._place(index)
        return part.name(place)

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        ends = np.cumsum([len(part) for part in self.parts])
        which = np.searchsorted(ends, index, side="right")
        starts = np.concatenate([[0], ends])
        found = [part.identity(index[which == i] - starts[i], kind) for i, part in enumerate(self.parts)]
        back = np.argsort(np.argsort(which, kind="stable"), kind="stable")
        arrays = zip(*((one.fingerprints, one.names, one.labels) for one in found), strict=True)
        return Identity(found[0].kind, *(np.concatenate(x)[back] for x in arrays))

    def _place(self, index: int) -> tuple[Files | Items, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        for part in self.parts:
            if index < len(part):
                break
            index -= len(part)
        return part, index


def identify(examples: Examples, kind: str) -> Identity:
    """Which images they are; `kind` is "contents", or "names" for files that are not to be read."""
    return examples.identity(np.arange(len(examples)), kind)


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
    asked = split_names(asked, examples.classes)
    chosen = places(asked, examples.classes)
    if -1 in chosen:
        name = asked[chosen.index(-1)]
        raise ValueError(f"no class {name!r}; {nearest(name, examples.classes)}")
    wanted = [examples.classes[label] for label in chosen]
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"classes {', '.join(wanted)}; wanted: each once")
    own = labels_of(examples, skip_unreadable=skip_unreadable)
    members = [np.flatnonzero(own == label)[:per_class] for label in chosen]
    for name, found in zip(wanted, members, strict=True):
        if len(found) < (per_class or 1):
            raise ValueError(f"{len(found)} images of class {name!r}; wanted: {per_class or 'at least one'} of each")
    labels = np.repeat(np.arange(len(wanted)), [len(found) for found in members])
    index = np.concatenate(members)
    order = np.argsort(index, kind="stable")
    return Chosen(examples, index[order], labels[order], tuple(wanted))


def known_labels(examples: Examples) -> np.ndarray | None:
    """int [n]; None where they are known only once the examples are read."""
    if isinstance(examples, Files | Items | Chosen | Joined):
        return examples.labels
    if not isinstance(examples, Subset | Relabelled) or (inner := known_labels(examples.examples)) is None:
        return None
    if isinstance(examples, Subset):
        return inner[examples.index]
    return np.array(places(examples.examples.classes, examples.classes))[inner]


def labels_of(examples: Examples, *, skip_unreadable: bool = False) -> np.ndarray:
    """int [n]. Where the storage does not know them each example is read; -1 for one that cannot be."""
    if (known := known_labels(examples)) is not None:
        return known
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


def split_names(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names that may be typed with commas between them: split where the whole is not known, and all its parts are."""

    def parts(name: str) -> list[str]:
        several = [part.strip() for part in name.split(",")]
        return several if -1 in places([name], known) and -1 not in places(several, known) else [name]

    return tuple(part for name in names for part in parts(name))


def rename_classes(classes: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The classes under other names: one each, in their order, or CLASS=NAME for those that get another name.

    Raises:
      ValueError: another number of names, a class that is not there, or a name given twice.
    """
    own = {composed(name) for name in classes}
    if (several := next((name for name in names if name.count("=") > 1 and "," in name), None)) is not None:
        raise ValueError(f"class_names: expected spaces between CLASS=NAME and the next, got {several!r}")
    if len(names) == 1 < len(classes) == len(names[0].split(",")):
        names = [name.strip() for name in names[0].split(",")]
    by_class = dict(name.partition("=")[::2] for name in names)
    if all("=" in name for name in names) and (
        len(names) != len(classes) or any(composed(name) in own for name in by_class)
    ):
        for name in by_class:
            if composed(name) not in own:
                raise ValueError(f"class_names: no class {name!r} to rename; {nearest(name, classes)}")
        if len(by_class) < len(names):
            raise ValueError(f"class_names {', '.join(names)}; expected each class once")
        if empty := next((name for name, given in by_class.items() if not given.strip()), None):
            raise ValueError(f"class_names: expected a name for class {empty!r}, got {empty + '='!r}")
        new = {composed(name): given for name, given in by_class.items()}
        names = [new.get(composed(name), name) for name in classes]
    if len(names) != len(classes):
        raise ValueError(f"{len(names)} class names for {len(classes)} classes: {shortened(classes)}")
    names = [composed(name) for name in names]
    if not all(name.strip() for name in names):
        raise ValueError(f"class_names has an empty name; expected one for each of {shortened(classes)}")
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ValueError(f"class name {repeated[0]!r} is given to two classes; expected another name for each")
    return tuple(names)


def with_class_names(examples: Any, names: Sequence[str]) -> Any:
    """The examples with their classes renamed; see `rename_classes`."""
    return replace(examples, classes=rename_classes(examples.classes, names))


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
    fixed: bool = False  # it comes in one version, in a random order from which parts are cut as it is
    sides: Sides | None = None  # of a run that was begun, which its images keep
    _contents: dict[str, Identity] = field(default_factory=dict, repr=False)  # once computed

    @property
    def splits(self) -> dict[str, int]:
        return {split: len(part) for split, part in self.parts.items()}

    def examples(self, split: str) -> Files | Items | Joined:
        """A split, or parts of one or several: "train[:80%]", "train[held-out]", "train+val[10:]".

        "train[held-out]" is a fifth of the images, chosen by their contents (see `identity.held_out`), and
        "train[training]" the others. Other parts are cut from an order that spreads each class evenly, so that all have
        their share.

        Raises:
          ValueError: no such split, one that has no labels or cannot be read; a part that is empty, cannot be
            understood, or has an image twice.
        """
        parts = [self._part(name, index) for name, index in self._cut(split)]
        return parts[0] if len(parts) == 1 else Joined(parts, parts[0].classes)

    def places(self, split: str) -> dict[str, np.ndarray]:
        """As places, int [n], in each whole split that it is of."""
        found: dict[str, np.ndarray] = {}
        for name, index in self._cut(split):
            index = np.arange(len(self.parts[name])) if index is None else index
            found[name] = np.concatenate([found[name], index]) if name in found else index
        return found

    def _part(self, name: str, index: np.ndarray | None) -> Files | Items:
        whole, known = self._whole(name), self._contents.get(name)
        if known is not None and isinstance(whole, Files):
            whole = replace(whole, contents=known.fingerprints)
        return whole if index is None else whole.take(index)

    def _whole(self, name: str) -> Files | Items:
        whole = self.parts[name]
        return whole.examples if isinstance(whole, Part) else whole

    def _cut(self, split: str) -> list[tuple[str, np.ndarray | None]]:
        """Each part's split and places; None for a whole split."""
        found: list[tuple[str, np.ndarray | None]] = []
        for part in split.split("+"):
            name, bracket, _ = part.partition("[")
            if name in self.unlabelled:
                raise ValueError(self.unlabelled[name])
            if name not in self.parts:
                raise ValueError(f"{self.name} has no split {name!r}; {nearest(name, self.parts)}")
            found.append((name, self._places(name, part) if bracket else None))
        for name in {name for name, _ in found} if len(found) > 1 else ():
            count = len(self.parts[name])
            index = np.concatenate([np.arange(count) if i is None else i for own, i in found if own == name])
            if twice := len(index) - len(np.unique(index)):
                raise ValueError(f"{self.name}: split {split!r} has {twice} images of {name!r} twice")
        return found

    def _places(self, name: str, part: str) -> np.ndarray:
        whole = self._whole(name)
        if part in (f"{name}[{TRAINING}]", f"{name}[{HELD_OUT}]"):
            own = self._identity(name)
            held = held_out(own.fingerprints, whole.labels)
            held = held if self.sides is None else self.sides.apply(held, own)
            found = np.flatnonzero(held == part.endswith(f"[{HELD_OUT}]"))
        else:
            start, stop = _bounds(part, len(whole))
            order = np.arange(len(whole)) if self.fixed else spread(whole.labels)
            found = np.sort(order[start:stop])
        if not len(found):
            raise ValueError(f"{self.name}: {part!r} is empty; {name!r} has {len(whole)} images")
        return found

    def _identity(self, name: str) -> Identity:
        if name not in self._contents:
            self._contents[name] = identify(self._whole(name), "contents")
        return self._contents[name]


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
    match = SLICE.fullmatch(split)
    if not match:
        raise ValueError(f"split {split!r} cannot be understood; wanted: as in train, train[:10%] or train[500:]")

    def bound(text: str | None, otherwise: int) -> int:
        if text is None:
            return otherwise
        value = round(int(text[:-1]) * length / 100) if text.endswith("%") else int(text)
        return min(length, max(0, value + length if text.startswith("-") else value))

    return bound(match[2], 0), bound(match[3], length)


def default_splits(dataset: Dataset, train: str, test: str | None, holdout: Holdout = "digest") -> tuple[str, str]:
    """Where to train and to test.

    With `test` None: the dataset's validation split, else its test split, else a fifth of `train`, held out by the
    contents of its images (of a set that never changes, by place). With `test` a part of the whole split `train`, the
    rest of it is trained on. `holdout` "position" is the rule of version 0.1.0: the test split comes
    before the validation split, a fifth is held out by place, and whoever names the test part alone trains on all.

    Raises:
      ValueError: nothing to test on.
    """
    if test is not None:
        return (train if holdout == "position" else _rest(dataset, train, test)), test
    trained = [part.partition("[")[0] for part in train.split("+")]
    rivals = [name for name in TEST_SPLITS[1:] if name in dataset.splits and name not in trained]
    if len(rivals) > 1 and holdout != "position":
        said = f"{dataset.name} has several splits for validation: {', '.join(rivals)}"
        raise ValueError(f"{said}; name one: --data.test-split {rivals[0]}")
    for name in TEST_SPLITS if holdout == "position" else (*TEST_SPLITS[1:], TEST_SPLITS[0]):
        if name in dataset.splits and name not in trained:
            return train, name
    if trained != [train]:
        said = f"{dataset.name} has no split to test on beside {train!r}"
        raise ValueError(f'{said}; name a part that is not trained on, as --data.test-split "train[80%:]"')
    if holdout == "position" or dataset.fixed:
        return f"{train}[:80%]", f"{train}[80%:]"
    return f"{train}[{TRAINING}]", f"{train}[{HELD_OUT}]"


def _rest(dataset: Dataset, train: str, test: str) -> str:
    """`train` without its part `test`, if that is one part of the whole split `train`; else `train`."""
    if train not in dataset.splits:
        return train
    if test in (f"{train}[{TRAINING}]", f"{train}[{HELD_OUT}]"):
        return f"{train}[{TRAINING if test.endswith(f'[{HELD_OUT}]') else HELD_OUT}]"
    match = SLICE.fullmatch(test)
    if not match or match[1] != train:
        return train
    rest = [f"{train}[:{match[2]}]"] if match[2] else []
    rest += [f"{train}[{match[3]}:]"] if match[3] else []
    return "+".join(part for part in rest if not _is_empty(dataset, part)) or train


def _is_empty(dataset: Dataset, part: str) -> bool:
    try:
        return not dataset.places(part)
    except ValueError:
        return True


def shared(dataset: Dataset, one: str, other: str) -> int:
    """How many images two splits, or parts of them, have in common, by place."""
    a, b = dataset.places(one), dataset.places(other)
    return sum(len(np.intersect1d(a[name], b[name])) for name in a.keys() & b.keys())
