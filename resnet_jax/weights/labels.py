"""Names of ImageNet's, Pascal VOC's and COCO's classes, in the order of a net's outputs.

The synset ids are ImageNet's, the words those of WordNet 3.0 (Princeton University), the short names of ImageNet-1k
torchvision's. `docs/label_sets.py` writes imagenet.tsv.gz from timm and torchvision.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

from resnet_jax.errors import composed, did_you_mean, listed

FLAGS = {  # in the second column of the table; classes are in the order of their synset ids
    "imagenet-1k": "1",  # 1,000 classes
    "imagenet-12k": "t",  # 11,821: timm's
    "imagenet-21k": "a",  # 21,841: autumn 2011
    "imagenet-21k-goog": "g",  # 21,843: Google's, with two more
    "imagenet-21k-miil": "m",  # 11,221: autumn 2011 without rare classes
    "imagenet-21k-w21": "w",  # 10,450: winter 2021 without rare classes
}
NAMES = {  # of sets without synset ids
    "voc": """background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse,
    motorbike, person, pottedplant, sheep, sofa, train, tvmonitor""",  # of segmentation: Pascal VOC's pixels
    # By COCO's numbers of its categories, from 1. Ten numbers have no category.
    "coco": """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, N/A,
    stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, N/A, backpack,
    umbrella, N/A, N/A, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
    baseball glove, skateboard, surfboard, tennis racket, bottle, N/A, wine glass, cup, fork, knife, spoon, bowl,
    banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed,
    N/A, dining table, N/A, N/A, toilet, N/A, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster,
    sink, refrigerator, N/A, book, clock, vase, scissors, teddy bear, hair drier, toothbrush""",
}


@dataclass(frozen=True)
class LabelSet:
    """Classes of a net, in the order of its outputs."""

    name: str
    names: tuple[str, ...]  # for people
    ids: tuple[str, ...]  # synset ids: "n01440764"
    synonyms: tuple[tuple[str, ...], ...]  # words of each class

    def __len__(self) -> int:
        return len(self.ids)

    def index(self, label: str) -> int:
        """The class with this synset id, name or synonym; case, underscores, hyphens and apostrophes do not matter.

        Raises:
          ValueError: no class, or several classes, have this name.
        """
        place = self._find(label)
        if place is None:
            raise ValueError(self._problem(label))
        return place

    def match(self, folders: Iterable[str]) -> dict[str, int]:
        """The class of each folder, by synset id or name, for image folders in ImageNet's layout.

        Raises:
          ValueError: a folder is of no class or of several, two folders are of the same class, or there is no folder.
        """
        places = {folder: self._find(folder) for folder in folders}
        classes = {folder: place for folder, place in places.items() if place is not None}
        if unknown := [folder for folder in places if folder not in classes]:
            first, *others = unknown
            more = f" (and {len(others)} more folder{'s' * (len(others) > 1)}: {listed(others, 3)})" if others else ""
            raise ValueError(self._problem(first) + more)
        if not classes:
            raise ValueError(f"expected folders named by the classes of {self.name}, got none")
        if repeated := [i for i, count in Counter(classes.values()).items() if count > 1]:
            same = [folder for folder, i in classes.items() if i == repeated[0]]
            raise ValueError(f"folders {' and '.join(map(repr, same))} are the same class, {self.ids[repeated[0]]}")
        return classes

    def _find(self, label: str) -> int | None:
        if label in self._exact:  # first: in ImageNet-1k a Cardigan is a dog, and a cardigan is not
            return self._exact[label]
        return self._folded.get(_key(label))

    def _problem(self, label: str) -> str:
        """Why `index` finds no class."""
        key = _key(label)
        if several := [
            synset for synset, words in zip(self.ids, self.synonyms, strict=True) if key in map(_key, words)
        ]:
            problem = f"{label!r} is the name of several classes of {self.name}"
            return problem if self.ids == self.names else f"{problem}; pass a synset id: {', '.join(several)}"
        ids = f"expected a synset id, as {self.ids[0]}, or the name of a class"
        hint = did_you_mean(label, self.names, f"expected {listed(self.names, 5)}" if self.ids == self.names else ids)
        return f"{self.name} has no class {label!r}; {hint}"

    @cached_property
    def _exact(self) -> dict[str, int]:
        return _unique([{name} for name in self.names]) | _unique([{synset} for synset in self.ids])

    @cached_property
    def _folded(self) -> dict[str, int]:
        """Class by id, by name, and by every other word that one class alone has."""
        words = [{_key(word) for word in words} for words in self.synonyms]
        names = [{_key(name)} for name in self.names]
        return _unique(words) | _unique(names) | _unique([{synset} for synset in self.ids])


def _unique(keys: list[set[str]]) -> dict[str, int]:
    """Place of every key that is in one set alone."""
    counts = Counter(key for each in keys for key in each)
    return {key: i for i, each in enumerate(keys) for key in each if counts[key] == 1}


@cache
def label_set(name: str) -> LabelSet:
    """The label set of this name: "imagenet-1k", "imagenet-12k", ..., "voc" or "coco"; read when it is first used.

    Raises:
      ValueError: no label set of this name.
    """
    if name in NAMES:
        return named_classes(name, [" ".join(one.split()) for one in NAMES[name].split(",")])
    if name not in FLAGS:
        raise ValueError(f"no label set named {name!r}; {did_you_mean(name, [*FLAGS, *NAMES])}")
    rows = [row for row in _table() if FLAGS[name] in row[1]]
    is_1k = name == "imagenet-1k"
    return LabelSet(
        name,
        names=tuple(short if is_1k else words for _, _, short, words in rows),
        ids=tuple(row[0] for row in rows),
        synonyms=tuple((words, *words.split(", ")) for _, _, _, words in rows),
    )


def labels_of_classes(classes: Sequence[str]) -> LabelSet:
    """The label set whose names, words or synset ids these are, in its order; otherwise one of these names alone."""
    for name in (*FLAGS, *NAMES):
        labels = label_set(name)
        words = tuple(synonyms[0] for synonyms in labels.synonyms)  # as transformers has them: "tench, Tinca tinca"
        if tuple(classes) in (labels.names, labels.ids, words):
            return labels
    return named_classes("the net", classes)


def named_classes(name: str, classes: Sequence[str]) -> LabelSet:
    """A label set whose classes have names alone."""
    return LabelSet(name, tuple(classes), tuple(classes), tuple((one,) for one in classes))


@cache
def _table() -> list[list[str]]:
    """Rows of synset id, flags, name in ImageNet-1k or "", words with commas between them; sorted by id."""
    data = files(__package__).joinpath("imagenet.tsv.gz").read_bytes()
    return [line.split("\t") for line in gzip.decompress(data).decode().splitlines()]


SPACES = str.maketrans(dict.fromkeys("_,-", " ") | dict.fromkeys("'’`"))


def _key(label: str) -> str:
    """The form in which equal names are equal: "Jack-o'-lantern" as "jack o lantern"."""
    return " ".join(composed(label).casefold().translate(SPACES).split())
