"""Labels in a file beside the images: CSV, TSV or a JSON object a line, with a column of files and one of classes."""

from __future__ import annotations

import csv
import json
import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnet_jax.data.sources.class_names import shortened
from resnet_jax.data.sources.formats.listing import list_images, notes_on
from resnet_jax.data.sources.formats.splits import split_of
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.errors import composed, did_you_mean

SUFFIXES = (".csv", ".tsv", ".jsonl")
FOUND = tuple(f"metadata{suffix}" for suffix in SUFFIXES)  # read without being asked for, as Hugging Face names them
# Names of columns, without capitals, spaces and signs; the first that is there counts.
IMAGE_COLUMNS = "filename file image imagename imagefile imagepath path filepath img imgname imgpath imageid id name"
LABEL_COLUMNS = (
    "label labels finelabel class classname classlabel category categoryname target labelname classid labelid "
    "categoryid y"
)
DOUBTFUL = frozenset(("id", "name", "y"))  # of these, that files without labels have too, as one of boxes
SPLIT_COLUMNS = "split set subset partition"
MOST_BYTES = 2**28  # of a file: some millions of rows
COMPARED = 10_000  # rows by which a file and folders of classes are compared


class Columns(NamedTuple):
    """Which columns are read."""

    image: str
    label: str
    split: str | None

    def __str__(self) -> str:
        return f"images from column {self.image!r}, labels from {self.label!r}" + (
            f", splits from {self.split!r}" if self.split else ""
        )


class Row(NamedTuple):
    """One image. The label is "" where the file has none."""

    line: int
    image: str
    label: str
    split: str


def label_files(folder: Path) -> list[Path]:
    """Files in a folder that may hold labels: those with a column of images."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    return [file for file in files if matching(_columns_or_none(file), IMAGE_COLUMNS)]


def _columns_or_none(file: Path) -> list[str]:
    try:
        return read_columns(file)
    except ValueError:
        return []


def has_columns(file: Path, image_column: str | None, label_column: str | None) -> bool:
    """Whether a file has a column of images and one of labels."""
    try:
        choose_columns(file, image_column, label_column)
    except ValueError:
        return False
    return True


def has_labels(file: Path, image_column: str | None, label_column: str | None) -> bool:
    """Whether some row has a label other than -1.

    Raises:
      ValueError: a damaged file.
    """
    return not _bare(read_rows(file, choose_columns(file, image_column, label_column)))


def choose_columns(file: Path, image_column: str | None = None, label_column: str | None = None) -> Columns:
    """The columns of images, of labels and (where there is one) of splits.

    Raises:
      ValueError: no such column; the message has those that are there.
    """
    columns = read_columns(file)
    chosen: list[str] = []
    for kind, asked, names in (("image", image_column, IMAGE_COLUMNS), ("label", label_column, LABEL_COLUMNS)):
        if asked is not None and asked not in columns:
            raise ValueError(f"{file} has no column {asked!r}; {did_you_mean(asked, columns)}")
        found = asked or matching([name for name in columns if name not in chosen], names)
        if found is None:
            said = f"{file} has the columns {shortened(columns)}, none of them known for {kind}s"
            raise ValueError(f"{said}; name it: --data.{kind}-column NAME")
        chosen.append(found)
    image, label = chosen
    return Columns(image, label, matching([name for name in columns if name not in chosen], SPLIT_COLUMNS))


def are_doubtful(columns: Columns) -> bool:
    """Whether columns that nobody asked for are hardly those of labels."""
    return not DOUBTFUL.isdisjoint(map(_plain, (columns.image, columns.label)))


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def matching(columns: Sequence[str], names: str) -> str | None:
    """The first of `names` that is a column, as it is spelt there; None: none is."""
    plain = {_plain(name): name for name in reversed(columns)}
    return next((plain[name] for name in names.split() if name in plain), None)


def read_columns(file: Path) -> list[str]:
    """The names of a file's columns: of a table those in its first line, of JSON objects those of all of them.

    Raises:
      ValueError: it is empty, too large, not text, or no such file; a column of a table is there twice.
    """
    records = _records(file)
    first = next(records, None)
    if first is None:
        raise ValueError(f"{file} is empty; expected a first line with the names of columns")
    columns = dict.fromkeys(first[1])
    if file.suffix.lower() == ".jsonl":
        with suppress(ValueError):  # a damaged line is told of where the rows are read
            for _, record in records:
                columns |= dict.fromkeys(record)
    return list(columns)


def read_rows(file: Path, columns: Columns) -> Iterator[Row]:
    """The rows of a file.

    Raises:
      ValueError: a line that is damaged, or has no image.
    """
    records = _records(file)
    if file.suffix.lower() != ".jsonl":
        next(records)  # the names
    for line, record in records:
        image, label, split = (_text(file, line, record.get(name)) if name else "" for name in columns)
        if not image:
            raise ValueError(f"{file}, line {line}: nothing in column {columns.image!r}")
        yield Row(line, image, re.sub(r"(?a:^(\d+)\.0+$)", r"\1", label), split)  # pandas writes 1.0 for 1


def _records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and values by column; the first of a table has the names themselves."""
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{file} is no file of labels; expected {', '.join(SUFFIXES)}")
    if not file.is_file():  # a folder, or a pipe, of which one would wait for ever
        raise ValueError(f"{file} cannot be read: not a file")
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file} has {file.stat().st_size:,} bytes; expected at most {MOST_BYTES:,} of labels")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield from (_objects if file.suffix.lower() == ".jsonl" else _table)(file, stream)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start:,}") from None
    except (OSError, csv.Error) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None


def _table(file: Path, stream: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    header = stream.readline(2**16)
    delimiter = "\t" if file.suffix.lower() == ".tsv" else next((c for c in ",;\t" if c in header), ",")
    stream.seek(0)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    names: list[str] = []
    for values in reader:
        if not any(values):
            continue
        values = [value.strip() for value in values]
        if not names and (twice := next((name for name in values if name and values.count(name) > 1), None)):
            raise ValueError(f"{file} has several columns {twice!r}; expected one of a name")
        names = names or values
        if len(values) != len(names):
            raise ValueError(f"{file}, line {reader.line_num}: {len(values)} values for {len(names)} columns")
        yield reader.line_num, dict(zip(names, values, strict=True))


def _objects(file: Path, stream: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}, line {number} is no JSON: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{file}, line {number}: expected a JSON object, got {str(record)[:50]!r}")
        yield number, record


def _text(file: Path, line: int, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return composed(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value)) if value == value // 1 else str(value)
    raise ValueError(f"{file}, line {line}: {str(value)[:50]!r}; expected one text or number")


class Index:
    """Finds image files by the names that a file of labels has for them."""

    def __init__(self, root: Path, file: Path, paths: Sequence[Path]) -> None:
        self._base, self._real = file.parent, cache(os.path.realpath)
        relative = os.path.relpath(os.path.realpath(file.parent), os.path.realpath(root))
        self._prefix = "" if relative.startswith("..") else relative
        self._paths = {composed(path.relative_to(root).as_posix()): path for path in paths}

    @cached_property
    def _by_place(self) -> dict[str, Path]:
        """By where they are, whatever they are called."""
        return {self._place(path): path for path in self._paths.values()}

    def _place(self, path: str | Path) -> str:
        folder, name = os.path.split(path)
        return os.path.join(str(self._real(folder)), name)

    @cached_property
    def _loose(self) -> dict[str, list[Path]]:
        """By path without extension, by name alone, and by name without extension."""
        found: dict[str, list[Path]] = defaultdict(list)
        for name, path in self._paths.items():
            base = posixpath.basename(name)
            for key in {posixpath.splitext(name)[0], base, posixpath.splitext(base)[0]} - {name}:
                found[key].append(path)
        return found

    def find(self, name: str) -> Path | None:
        """The image of that name: a path from the file or from the data's folder, or a name that only one image has.

        The extension may be missing. None: there is no such image.

        Raises:
          ValueError: several images have the name.
        """
        for separated in (name, name.replace("\\", "/")):
            for key in (posixpath.normpath(posixpath.join(self._prefix, separated)), posixpath.normpath(separated)):
                if key in self._paths:
                    return self._paths[key]
            if os.path.isfile(path := os.path.join(self._base, separated)):
                return self._by_place.setdefault(self._place(path), Path(path))
        found = self._loose.get(posixpath.normpath(name.replace("\\", "/")), [])
        if len(found) > 1:
            raise ValueError(f"{name!r} may be {found[0]} or {found[1]}; expected paths, with extensions")
        return found[0] if found else None


def compare(rows: Iterator[Row], index: Index, classes: dict[Path, str]) -> str:
    """How labels and folders of classes part the images, as far as the first rows tell.

    "same": alike. "finer": each label lies in one folder. "coarser": each folder has one label. "other": neither.
    """
    pairs = set()
    for row, _ in zip(rows, range(COMPARED), strict=False):
        if row.label and (path := index.find(row.image)) in classes:
            pairs.add((row.label, classes[path]))
    labels, folders = len({label for label, _ in pairs}), len({name for _, name in pairs})
    if len(pairs) == labels == folders:
        return "same"
    return "finer" if len(pairs) == labels else "coarser" if len(pairs) == folders else "other"


def open_labels(
    root: Path,
    file: Path,
    *,
    label_column: str | None = None,
    image_column: str | None = None,
    skip_unreadable: bool = False,
) -> StoredDataset:
    """The images below `root` that `file` names, each with the label of its row, in the order of their paths.

    Splits are those of a column of them, else of the first folder in the images' names, else all is "train". Classes
    are the labels of "train": numbers in their order, names in that of their letters.

    Raises:
      ValueError: the file is damaged or has no such columns; an image with two labels, or some rows without one; images
        that are not there, unless they are skipped.
    """
    columns = choose_columns(file, image_column, label_column)
    listing = list_images(root)
    if file.resolve().is_relative_to(root.resolve()):
        listing.unread -= Counter([file.suffix.lower()])  # it is read
    index = Index(root, file, listing.paths)
    rows, repeated = _distinct(file, read_rows(file, columns), index)
    splits = _parted(file, columns, [row for row, _ in rows])
    notes = [f"labels of {file.name}: {columns}"]
    if repeated:
        notes.append(f"{file.name} has {repeated:,} row{'s' * (repeated > 1)} of an image that it has already")
    named = {path for _, path in rows}
    if others := [path for path in listing.paths if path not in named]:
        count = f"{len(others):,} image{'s have' if others[1:] else ' has'}"
        notes.append(f"{count} no row in {file.name} and {'are' if others[1:] else 'is'} not used: {others[0]} ...")
    parts: dict[str, list[tuple[Row, Path | None]]] = defaultdict(list)
    for pair, split in zip(rows, splits, strict=True):
        parts[split].append(pair)
    if "train" not in parts:
        raise ValueError(f"{file} has rows of {', '.join(parts)}, but none to train on")
    bare = [split for split in parts if split != "train" and _bare(row for row, _ in parts[split])]
    unlabelled = {split: f"{file}: {split!r} has no labels" for split in bare}
    classes = class_order({row.label for row, _ in parts["train"] if row.label})
    _check_classes(file, columns, classes)
    stored = {}
    for split in sorted(parts.keys() - unlabelled.keys(), key=lambda split: split != "train"):
        stored[split] = _part(root, file, split, parts[split], classes, skip_unreadable)
        if skip_unreadable and (missing := sum(path is None for _, path in parts[split])):
            notes.append(f"{missing:,} of {len(parts[split]):,} images of {split!r} in {file.name} are missing")
    notes += [f"split {split!r} is not used: it has no labels in {file.name}" for split in unlabelled]
    return StoredDataset(str(root), stored, (*notes, *notes_on(listing.unread, listing.links)), unlabelled)


def _bare(rows: Iterable[Row]) -> bool:
    return all(row.label in ("", "-1") for row in rows)


def _distinct(file: Path, rows: Iterator[Row], index: Index) -> tuple[list[tuple[Row, Path | None]], int]:
    """Each image once, sorted by its path; missing ones last. And how many rows repeat another."""
    by_path: dict[Path, Row] = {}
    missing: dict[str, Row] = {}
    repeated = 0
    for row in rows:
        try:
            path = index.find(row.image)
        except ValueError as error:
            raise ValueError(f"{file}, line {row.line}: {error}") from None
        earlier = missing.setdefault(row.image, row) if path is None else by_path.setdefault(path, row)
        if earlier is row:
            continue
        if (earlier.label, earlier.split) != (row.label, row.split):
            said = f"{row.image} has {row.label!r} in line {row.line} and {earlier.label!r} in line {earlier.line}"
            splits = f" (splits {row.split!r}, {earlier.split!r})" if row.split != earlier.split else ""
            raise ValueError(f"{file}: {said}{splits}; expected one label an image")
        repeated += 1
    if not by_path and missing:
        first = next(iter(missing.values()))
        raise ValueError(f"{file}: none of its {len(missing):,} images is there, as {first.image} of line {first.line}")
    return [(by_path[path], path) for path in sorted(by_path)] + [(row, None) for row in missing.values()], repeated


def _parted(file: Path, columns: Columns, rows: list[Row]) -> list[str]:
    """The split of each row."""
    if not rows:
        raise ValueError(f"{file} has no rows")
    if columns.split is not None:
        if bare := next((row for row in rows if not row.split), None):
            raise ValueError(f"{file}, line {bare.line}: nothing in column {columns.split!r}")
        splits = [split_of(row.split) or row.split for row in rows]
        if "train" not in splits:
            there = shortened(sorted(set(splits)))
            raise ValueError(f"{file}: column {columns.split!r} has {there}; expected train, and test or val")
        return splits
    folders = [split_of(row.image.replace("\\", "/").removeprefix("./").partition("/")[0]) for row in rows]
    bare = next((row for row, split in zip(rows, folders, strict=True) if split is None), None)
    if bare is None:
        return [str(split) for split in folders]
    if named := next((row for row, split in zip(rows, folders, strict=True) if split), None):
        said = f"{named.image} lies in the folder of a split, {bare.image} of line {bare.line} does not"
        raise ValueError(f"{file}: {said}; expected all, or a column 'split'")
    return ["train"] * len(rows)


def class_order(names: set[str]) -> tuple[str, ...]:
    """Classes in the order of their labels: numbers in their own, names in that of their letters."""
    if all(re.fullmatch(r"\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _check_classes(file: Path, columns: Columns, classes: tuple[str, ...]) -> None:
    if fraction := next((name for name in classes if re.fullmatch(r"-?\d*\.\d*[1-9]\d*(e-?\d+)?", name)), None):
        raise ValueError(f"{file}: column {columns.label!r} has {fraction}; expected names or whole numbers of classes")
    if "-1" in classes:
        said = f"column {columns.label!r} has -1, which means no label, beside others"
        raise ValueError(f"{file}: {said}; expected a name or a whole number from 0 for each class")
    by_case = Counter(name.casefold() for name in classes)
    if alike := [name for name in classes if by_case[name.casefold()] > 1]:
        raise ValueError(f"{file} has classes whose names differ by case alone: {shortened(alike)}")


def _part(
    root: Path,
    file: Path,
    split: str,
    rows: list[tuple[Row, Path | None]],
    classes: tuple[str, ...],
    skip_missing: bool,
) -> LazySplit:
    def read() -> ImageFileSource:
        if missing := [row for row, path in rows if path is None and not skip_missing]:
            there = f"{len(missing):,} of {len(rows):,} images of {split!r} are missing"
            said = f"{there}, the first {missing[0].image} of line {missing[0].line}"
            raise ValueError(f"{file}: {said}; go without: --data.unreadable skip")
        labels = {name: label for label, name in enumerate(classes)}
        if bare := next((row for row, _ in rows if not row.label), None):
            raise ValueError(f"{file}, line {bare.line}: {bare.image} has no label")
        if strange := next((row for row, _ in rows if row.label not in labels), None):
            said = f"{strange.image} of {split!r} has the class {strange.label!r}"
            raise ValueError(f"{file}, line {strange.line}: {said}, which no image of 'train' has")
        pairs = [(path, labels[row.label]) for row, path in rows if path is not None]
        indices = np.array([label for _, label in pairs], np.int32)
        return ImageFileSource([path for path, _ in pairs], indices, classes, str(root))

    return LazySplit(sum(path is not None for _, path in rows) if skip_missing else len(rows), read)
