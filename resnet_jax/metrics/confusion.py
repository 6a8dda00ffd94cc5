"""The confusion matrix, and precision, recall and F1 of each class."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.files import replace_file, to_json

FOLDER, FILE = "evaluation", "classes.json"  # in the run directory
RETRIEVAL = "retrieval.json"  # instead of FILE, of pairs of images and texts
# An evaluation draws them beside it.
PICTURES = ("confusion.png", "confusion.svg", "mistakes.png", "examples.png", "similarity.png")
DENSE = 2000  # largest number of classes whose matrix is written: 4 million counts, 12 MB


class Confusion:
    """Counts of images by true and predicted class.

    Precision, recall and F1 are float64 [K]. A class without images has recall nan, one that was never predicted has
    precision nan, and one with neither has F1 nan. Macro averages are over the classes that have images, and such a
    precision counts as 0 in them.
    """

    def __init__(self, classes: Sequence[str], labels: Any = (), predicted: Any = ()) -> None:
        """`labels`, `predicted`: int [n] each; a label below 0 marks padding, which is skipped."""
        self.classes = tuple(classes)
        self._pairs = np.zeros((2, 0), np.int64)
        self.add(np.asarray(labels, np.int64), np.asarray(predicted, np.int64))

    def add(self, labels: np.ndarray, predicted: np.ndarray) -> None:
        """Counts more images."""
        self._pairs = np.concatenate([self._pairs, np.stack([labels, predicted])[:, labels >= 0]], axis=1)

    @property
    def matrix(self) -> np.ndarray:
        """Images of each true class (rows) that are predicted as each class (columns): int64 [K, K]."""
        size = len(self.classes)
        return np.bincount(self._pairs[0] * size + self._pairs[1], minlength=size * size).reshape(size, size)

    @property
    def images(self) -> np.ndarray:
        """Images of each class: int [K]."""
        return self._count(self._pairs[0])

    @property
    def recall(self) -> np.ndarray:
        """Share of a class's images that are predicted as that class: its accuracy."""
        return _share(self._hits, self.images)

    @property
    def precision(self) -> np.ndarray:
        """The share of the images predicted as a class that belong to it."""
        return _share(self._hits, self._count(self._pairs[1]))

    @property
    def f1(self) -> np.ndarray:
        """The harmonic mean of precision and recall, 2 hits / (images + predictions)."""
        return _share(2 * self._hits, self.images + self._count(self._pairs[1]))

    def occurring(self) -> Confusion:
        """The classes that images have or are predicted as, without the others."""
        numbers, pairs = np.unique(self._pairs, return_inverse=True)
        return Confusion([self.classes[k] for k in numbers], *pairs.reshape(self._pairs.shape))

    def macro(self) -> dict[str, float]:
        """Means of "recall", "precision" and "f1" over the classes that have images; each class counts the same."""
        present = self.images > 0
        values = {"recall": self.recall, "precision": self.precision, "f1": self.f1}
        return {name: float(np.nan_to_num(x[present]).mean()) for name, x in values.items()}

    def worst(self) -> list[int]:
        """The classes that have images, by recall, lowest first; of equal ones the one with more images first."""
        images, recall = self.images, self.recall
        return [int(k) for k in np.lexsort((-images, recall)) if images[k]]

    def mistaken_for(self, label: int) -> dict[str, int]:
        """Other classes that images of `label` are predicted as, with their counts, the most frequent first."""
        counts = self._count(self._pairs[1][self._pairs[0] == label])
        counts[label] = 0
        others = np.flatnonzero(counts)
        return {self.classes[k]: int(counts[k]) for k in others[np.argsort(-counts[others], kind="stable")]}

    def rows(self) -> list[dict[str, Any]]:
        """A record of each class, in their order: its name as "class", its number of "images", "recall", "precision",
        "f1" (None where undefined), and "mistaken_for".
        """
        names = ("recall", "precision", "f1")
        columns = [self.images.tolist(), *(getattr(self, name).tolist() for name in names)]
        return [
            {"class": self.classes[k], "images": images}
            | {name: None if np.isnan(x) else x for name, x in zip(names, numbers, strict=True)}
            | {"mistaken_for": self.mistaken_for(k)}
            for k, (images, *numbers) in enumerate(zip(*columns, strict=True))
        ]

    @property
    def _hits(self) -> np.ndarray:
        return self._count(self._pairs[0][self._pairs[0] == self._pairs[1]])

    def _count(self, classes: np.ndarray) -> np.ndarray:
        return np.bincount(classes, minlength=len(self.classes))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def write_classes(folder: str | Path, confusion: Confusion, metadata: Mapping[str, Any], **more: Any) -> Path:
    """Writes classes.json into `folder`: what was evaluated, the numbers of each class, and the confusion matrix.

    Pictures of an earlier evaluation are removed: they show other numbers.

    Args:
      metadata: the first fields, such as "step", "data" and "split". NaN is written as null.
      more: fields before the matrix. More than 2,000 classes have no matrix.

    Raises:
      OSError: it cannot be written.
    """
    record = {**metadata, "macro": confusion.macro(), "classes": confusion.rows(), **more}
    if len(confusion.classes) <= DENSE:
        record["confusion"] = confusion.matrix.tolist()
    return write_rows(Path(folder), record)


def write_rows(folder: Path, record: Mapping[str, Any], name: str = FILE) -> Path:
    """Writes a JSON file into `folder`, a line for each element of a list, and removes pictures of an earlier one.

    Raises:
      OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        (folder / picture).unlink(missing_ok=True)
    lines = [f"{json.dumps(key)}: {_lines(value)}" for key, value in record.items()]
    replace_file(folder / name, "{\n" + ",\n".join(lines) + "\n}\n")
    return folder / name


def remove_evaluation(folder: Path) -> None:
    """Removes the files of an earlier evaluation in `folder`. Raises OSError where one cannot be removed."""
    for name in (FILE, RETRIEVAL, *PICTURES) if folder.is_dir() else ():
        (folder / name).unlink(missing_ok=True)


def _lines(value: Any) -> str:
    """JSON with one line per element of a list."""
    if not isinstance(value, list) or not value:
        return to_json(value)
    return "[\n" + ",\n".join(f"  {to_json(one)}" for one in value) + "\n]"
