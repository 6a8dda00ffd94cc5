"""The labels of rows: which classes there are, and each row's label as a number or numbers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.label_kinds import LabelKind, check_precision, transcript_tokens
from resnet_jax.formats.tables import Columns, Row

LARGEST = float(np.finfo(np.float32).max)
TRUTH = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0}


def lack_labels(rows: Iterable[Row], label_kind: LabelKind) -> bool:
    """Whether no row has a label. -1 stands for none, but among targets it is a number, and "nan" stands for none."""
    none = {"", *{"targets": ["nan"], "transcript": []}.get(label_kind, ["-1"])}
    texts = ((row.label,) if isinstance(row.label, str) else row.label for row in rows)
    return all(text.casefold() in none for values in texts for text in values)


def class_order(names: set[str]) -> tuple[str, ...]:
    """Classes in the order of their labels: numbers in numerical, names in alphabetical order."""
    if all(re.fullmatch(r"\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def classes_of(file: Path, columns: Columns, rows: Sequence[Row], label_kind: LabelKind) -> tuple[str, ...]:
    """Names of the classes or targets, or tokens of the transcripts.

    Raises ValueError for values that name no classes.
    """
    if label_kind == "targets" or (label_kind == "multi-hot" and len(columns.label) > 1):
        return columns.label
    if label_kind == "transcript":
        return transcript_tokens(str(row.label) for row in rows)
    column = columns.label[0]
    names = {name for row in rows for name in ([row.label] if isinstance(row.label, str) else row.label) if name}
    if not names and label_kind == "multi-hot":
        raise ValueError(f"{file}: column {column!r} has no classes; expected names, separated by ; or |")
    if (
        label_kind == "multi-hot"
        and {name.casefold() for name in names} <= TRUTH.keys()
        and all(len(row.label) == 1 for row in rows)
    ):
        problem = f"column {column!r} has {join_names(sorted(names))} alone"
        hint = f"for one yes or no per {columns.noun}, label_kind='class'; for several, name the column of each"
        raise ValueError(f"{file}: {problem}; expected names of classes; {hint}")
    classes = class_order(names)
    if fraction := next((name for name in classes if re.fullmatch(r"-?\d*\.\d*[1-9]\d*(e-?\d+)?", name)), None):
        expected = "names or whole numbers of classes; label_kind='targets' predicts other numbers"
        raise ValueError(f"{file}: column {column!r} has {fraction}; expected {expected}")
    if "-1" in classes:
        problem = f"column {column!r} has -1, which means no label, beside others"
        raise ValueError(f"{file}: {problem}; expected a name or a whole number from 0 for each class")
    by_case = Counter(name.casefold() for name in classes)
    if alike := [name for name in classes if by_case[name.casefold()] > 1]:
        raise ValueError(f"{file} has classes whose names differ by case alone: {join_names(alike)}")
    return classes


class LabelEncoder:
    """From the texts of rows to labels: int32 [n], str [n] or float32 [n, K]."""

    def __init__(
        self, file: Path, columns: Columns, split: str, classes: tuple[str, ...], label_kind: LabelKind
    ) -> None:
        self.file, self.columns, self.split, self.classes = file, columns, split, classes
        self._kind = label_kind
        self._index = {name: label for label, name in enumerate(classes)}

    def __call__(self, rows: Sequence[Row]) -> np.ndarray:
        """Raises ValueError for a row without a label, an unknown class, or a value that is no number."""
        if self._kind == "class":
            return np.array([self._class(row, str(row.label)) for row in rows], np.int32)
        if self._kind == "transcript":
            return np.array([self._transcript(row, str(row.label)) for row in rows], np.str_)
        dtype = np.float64 if self._kind == "targets" else np.float32
        labels = np.zeros((len(rows), len(self.classes)), dtype)
        for i, row in enumerate(rows):
            if self._kind == "multi-hot" and len(self.columns.label) == 1:
                labels[i, [self._class(row, name) for name in row.label]] = 1
            else:
                labels[i] = [self._number(row, *pair) for pair in zip(self.columns.label, row.label, strict=True)]
        if self._kind == "targets" and self.split == "train":
            check_precision(labels, str(self.file))
        return labels.astype(np.float32, copy=False)

    def _class(self, row: Row, name: str) -> int:
        if not name:
            raise ValueError(f"{self.file}, line {row.line}: {row.file} has no label")
        if name not in self._index:
            problem = f"{row.file} of {self.split!r} has the class {name!r}"
            raise ValueError(f"{self.file}, line {row.line}: {problem}, which no {self.columns.noun} of 'train' has")
        return self._index[name]

    def _transcript(self, row: Row, text: str) -> str:
        if not text:
            raise ValueError(f"{self.file}, line {row.line}: {row.file} has no transcript")
        if other := next((character for character in text if character not in self._index), None):
            problem = f"the transcript of {row.file} of {self.split!r} has {other!r}"
            raise ValueError(f"{self.file}, line {row.line}: {problem}, which no transcript of 'train' has")
        return text

    def _number(self, row: Row, column: str, text: str) -> float:
        try:
            number = TRUTH[text.casefold()] if self._kind == "multi-hot" else float(text)
        except (KeyError, ValueError):
            number = math.nan
        if "_" in text or not abs(number) <= LARGEST:  # Python takes 1_00 for 100
            expected = "0 or 1" if self._kind == "multi-hot" else "a number"
            raise ValueError(f"{self.file}, line {row.line}: column {column!r}: expected {expected}, got {text!r}")
        return number
