"""Images or sounds with labels in a file beside them."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.formats.file_index import FileIndex
from resnet_jax.data.sources.formats.listing import list_files, notes_on
from resnet_jax.data.sources.formats.options import ReadOptions
from resnet_jax.data.sources.formats.splits import split_of
from resnet_jax.data.sources.formats.tables import Columns, Row, choose_columns, read_rows
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.label_kinds import LabelKind, check_precision
from resnet_jax.data.sources.stored import LazySplit, StoredDataset

LARGEST = float(np.finfo(np.float32).max)
TRUTH = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0}


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def has_labels(file: Path, options: ReadOptions) -> bool:
    """Whether some row has a label other than -1.

    Raises:
      ValueError: a corrupted file.
    """
    return not _lack_labels(read_rows(file, choose_columns(file, options), options.label_kind), options.label_kind)


def open_labels(root: Path, file: Path, options: ReadOptions) -> StoredDataset:
    """The files below `root` that `file` names, each with the label of its row, in the order of their paths.

    Splits are those of a split column, else of the first folder in the files' names, else all is "train". Classes are
    the labels of "train": numbers in numerical, names in alphabetical order. Several classes of a file are in one
    column (a JSON list, or names with ; or | between them), or in a column of 0 and 1 for each class; targets are
    numbers in one column or several. The characters of the transcripts of "train" take the place of classes.

    Raises:
      ValueError: the file is corrupted or has no such columns; a file with two labels, or some rows without one;
        labels of another kind; missing files, without `skip_unreadable`.
    """
    label_kind, skip_unreadable = options.label_kind, options.skip_unreadable
    columns, noun = choose_columns(file, options), options.files.noun
    listing = list_files(root, kind=options.files)
    if file.resolve().is_relative_to(root.resolve()):
        listing.unread -= Counter([file.suffix.lower()])  # it is read
    index = FileIndex(root, file, listing.paths)
    rows, repeated = _distinct(file, columns, read_rows(file, columns, label_kind), index)
    splits = _row_splits(file, columns, [row for row, _ in rows])
    notes = [f"labels of {file.name}: {columns}"]
    if repeated:
        notes.append(f"{file.name} has {repeated:,} row{'s' * (repeated > 1)} of {_a(noun)} that it has already")
    named = {path for _, path in rows}
    if others := [path for path in listing.paths if path not in named]:
        count = f"{len(others):,} {noun}{'s have' if others[1:] else ' has'}"
        notes.append(f"{count} no row in {file.name} and {'are' if others[1:] else 'is'} not used: {others[0]} ...")
    parts: dict[str, list[tuple[Row, Path | None]]] = defaultdict(list)
    for pair, split in zip(rows, splits, strict=True):
        parts[split].append(pair)
    if "train" not in parts:
        raise ValueError(f"{file} has rows of {', '.join(parts)}, but none to train on")
    lacking = [
        split for split in parts if split != "train" and _lack_labels((row for row, _ in parts[split]), label_kind)
    ]
    unlabelled = {split: f"{file} has no labels of {split!r}" for split in lacking}
    classes = _classes(file, columns, [row for row, _ in parts["train"]], label_kind)
    stored = {}
    for split in sorted(parts.keys() - unlabelled.keys(), key=lambda split: split != "train"):
        encode = _Encoder(file, columns, split, classes, label_kind)
        stored[split] = _part(root, parts[split], encode, skip_unreadable)
        if skip_unreadable and (missing := sum(path is None for _, path in parts[split])):
            notes.append(f"{missing:,} of {len(parts[split]):,} {noun}s of {split!r} in {file.name} are missing")
    return StoredDataset(str(root), stored, (*notes, *notes_on(listing.unread, listing.links)), unlabelled)


def _lack_labels(rows: Iterable[Row], label_kind: LabelKind) -> bool:
    """Whether no row has a label. -1 stands for none, but among targets it is a number, and "nan" stands for none."""
    none = {"", *{"targets": ["nan"], "transcript": []}.get(label_kind, ["-1"])}
    texts = ((row.label,) if isinstance(row.label, str) else row.label for row in rows)
    return all(text.casefold() in none for values in texts for text in values)


def _distinct(
    file: Path, columns: Columns, rows: Iterator[Row], index: FileIndex
) -> tuple[list[tuple[Row, Path | None]], int]:
    """Each file once, sorted by its path, missing ones last; and the number of rows that repeat another."""
    by_path: dict[Path, Row] = {}
    missing: dict[str, Row] = {}
    repeated = 0
    for row in rows:
        try:
            path = index.find(row.file)
        except ValueError as error:
            raise ValueError(f"{file}, line {row.line}: {error}") from None
        earlier = missing.setdefault(row.file, row) if path is None else by_path.setdefault(path, row)
        if earlier is row:
            continue
        if (earlier.label, earlier.split) != (row.label, row.split):
            labels = f"{row.file} has {row.label!r} in line {row.line} and {earlier.label!r} in line {earlier.line}"
            splits = f" (splits {row.split!r}, {earlier.split!r})" if row.split != earlier.split else ""
            raise ValueError(f"{file}: {labels}{splits}; expected one label {_a(columns.noun)}")
        repeated += 1
    if not by_path and missing:
        first = next(iter(missing.values()))
        counts = f"none of its {len(missing):,} {columns.noun}s is there"
        raise ValueError(f"{file}: {counts}, as {first.file} of line {first.line}")
    return [(by_path[path], path) for path in sorted(by_path)] + [(row, None) for row in missing.values()], repeated


def _row_splits(file: Path, columns: Columns, rows: list[Row]) -> list[str]:
    """The split of each row."""
    if not rows:
        raise ValueError(f"{file} has no rows")
    if columns.split is not None:
        if bare := next((row for row in rows if not row.split), None):
            raise ValueError(f"{file}, line {bare.line}: nothing in column {columns.split!r}")
        splits = [split_of(row.split) or row.split for row in rows]
        if "train" not in splits:
            names = join_names(sorted(set(splits)))
            raise ValueError(f"{file}: column {columns.split!r} has {names}; expected train, and test or val")
        return splits
    folders = [split_of(row.file.replace("\\", "/").removeprefix("./").partition("/")[0]) for row in rows]
    bare = next((row for row, split in zip(rows, folders, strict=True) if split is None), None)
    if bare is None:
        return [str(split) for split in folders]
    if named := next((row for row, split in zip(rows, folders, strict=True) if split), None):
        problem = f"{named.file} lies in the folder of a split, {bare.file} of line {bare.line} does not"
        raise ValueError(f"{file}: {problem}; expected all, or a column 'split'")
    return ["train"] * len(rows)


def class_order(names: set[str]) -> tuple[str, ...]:
    """Classes in the order of their labels: numbers in numerical, names in alphabetical order."""
    if all(re.fullmatch(r"\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _classes(file: Path, columns: Columns, rows: Sequence[Row], label_kind: LabelKind) -> tuple[str, ...]:
    """Names of the classes or targets, or characters of the transcripts.

    Raises ValueError for values that name no classes.
    """
    if label_kind == "targets" or (label_kind == "multi-hot" and len(columns.label) > 1):
        return columns.label
    if label_kind == "transcript":
        return tuple(sorted(set("".join(str(row.label) for row in rows))))
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


class _Encoder:
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


def _part(root: Path, rows: list[tuple[Row, Path | None]], encode: _Encoder, skip_missing: bool) -> LazySplit:
    file, columns, split = encode.file, encode.columns, encode.split

    def read() -> ImageFileSource:
        if missing := [row for row, path in rows if path is None and not skip_missing]:
            count = f"{len(missing):,} of {len(rows):,} {columns.noun}s of {split!r} are missing"
            problem = f"{count}, the first {missing[0].file} of line {missing[0].line}"
            raise ValueError(f"{file}: {problem}; go without: skip_unreadable=True")
        labels = encode([row for row, _ in rows])  # of missing files too, to check them
        present = [i for i, (_, path) in enumerate(rows) if path is not None]
        paths = [path for _, path in rows if path is not None]
        return ImageFileSource(paths, labels[present], encode.classes, str(root))

    return LazySplit(sum(path is not None for _, path in rows) if skip_missing else len(rows), read)
