"""Images or sounds with labels in a file beside them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.formats.file_index import FileIndex
from resnet_jax.formats.listing import list_files, notes_on
from resnet_jax.formats.options import ReadOptions
from resnet_jax.formats.row_labels import LabelEncoder, classes_of, lack_labels
from resnet_jax.formats.splits import split_of
from resnet_jax.formats.tables import Columns, Row, choose_columns, read_rows


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def has_labels(file: Path, options: ReadOptions) -> bool:
    """Whether some row has a label other than -1.

    Raises:
      ValueError: a corrupted file.
    """
    return not lack_labels(read_rows(file, choose_columns(file, options), options.label_kind), options.label_kind)


def open_labels(root: Path, file: Path, options: ReadOptions) -> StoredDataset:
    """The files below `root` that `file` names, each with the label of its row, in the order of their paths.

    Splits are those of a split column, else of the first folder in the files' names, else all is "train". Classes are
    the labels of "train": numbers in numerical, names in alphabetical order. Several classes of a file are in one
    column (a JSON list, or names with ; or | between them), or in a column of 0 and 1 for each class; targets are
    numbers in one column or several. Those of transcripts are the tokens of "train".

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
    splits = row_splits(file, columns, [row for row, _ in rows])
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
        split for split in parts if split != "train" and lack_labels((row for row, _ in parts[split]), label_kind)
    ]
    unlabelled = {split: f"{file} has no labels of {split!r}" for split in lacking}
    classes = classes_of(file, columns, [row for row, _ in parts["train"]], label_kind)
    stored = {}
    for split in sorted(parts.keys() - unlabelled.keys(), key=lambda split: split != "train"):
        encode = LabelEncoder(file, columns, split, classes, label_kind)
        stored[split] = _part(root, parts[split], encode, skip_unreadable)
        if skip_unreadable and (missing := sum(path is None for _, path in parts[split])):
            notes.append(f"{missing:,} of {len(parts[split]):,} {noun}s of {split!r} in {file.name} are missing")
    return StoredDataset(str(root), stored, (*notes, *notes_on(listing.unread, listing.links)), unlabelled)


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


def row_splits(file: Path, columns: Columns, rows: list[Row]) -> list[str]:
    """The split of each row: of a split column, else of the first folder in the files' names, else "train".

    Raises:
      ValueError: no rows, some without a split, or none to train on.
    """
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


def _part(root: Path, rows: list[tuple[Row, Path | None]], encode: LabelEncoder, skip_missing: bool) -> LazySplit:
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
