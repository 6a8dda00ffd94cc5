"""Files of time series: .ts, .tsv and .txt of the UCR and UEA archives, .csv and .npz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import one_of
from resnet_jax.files import expanded
from resnet_jax.formats.options import label_columns
from resnet_jax.formats.series.npz import read_npz
from resnet_jax.formats.series.rows import FORMATS, SUFFIXES, read_rows
from resnet_jax.formats.series.series_source import (
    Missing,
    SeriesFile,
    SeriesLabels,
    SeriesSource,
    as_source,
)
from resnet_jax.formats.series.ts import read_ts
from resnet_jax.formats.splits import by_split

__all__ = ["SeriesDataset", "SeriesSource", "open_series", "open_series_dataset"]

EXPECTED = f"a file {one_of(FORMATS)}, or a folder with NAME_TRAIN and NAME_TEST in one of them"


@dataclass(frozen=True, eq=False)
class SeriesDataset:
    """Splits of a set of time series. They share channels and classes; their greatest lengths may differ."""

    name: str
    splits: Mapping[str, SeriesSource]  # training first
    notes: tuple[str, ...] = ()  # for the user, on files that are not read


def open_series(
    path: str | Path,
    *,
    label_kind: SeriesLabels = "class",
    label_column: str | None = None,
    missing: Missing = "error",
) -> SeriesDataset:
    """Reads the series at a path into memory.

    - a folder with NAME_TRAIN.ts and NAME_TEST.ts (or .tsv, .csv, .txt), or with one .npz
    - a single .ts, .tsv, .csv or .txt, which is all training
    - an .npz with x_train, y_train, x_test, y_test, or x, y

    Args:
      label_kind: "class", or "targets": a number to predict.
      label_column: in a .tsv, .csv or .txt with names in the first line; None: a usual one.
      missing: values inside a series: "error", or "linear" interpolation. Behind the last value they end the series.

    Raises:
      FileNotFoundError: nothing there.
      ValueError: no series, or a file that is broken. The message names the file and the line.
    """
    path = expanded(path)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}; expected {EXPECTED}")
    files, notes = _files(path)
    contents: dict[str, SeriesFile] = {}
    for split, file in files.items():
        suffix = file.suffix.lower()
        if label_column is not None and suffix not in SUFFIXES:
            raise ValueError(f"label_column={label_column!r} is for {one_of(SUFFIXES)}, got {file}")
        if suffix == ".npz":
            contents |= read_npz(file)
        else:
            contents[split] = read_ts(file, label_kind) if suffix == ".ts" else read_rows(file, label_column)
    train = as_source(contents.pop("train"), label_kind=label_kind, missing=missing)
    splits = {"train": train}
    for split, content in contents.items():
        splits[split] = as_source(content, label_kind=label_kind, missing=missing, like=train)
    return SeriesDataset(str(path), splits, notes)


def open_series_dataset(
    path: str | Path,
    *,
    label_kind: LabelKind = "class",
    label_column: str | Sequence[str] | None = None,
    missing: Missing = "error",
) -> StoredDataset:
    """The series at a path as a dataset for runs: its splits are those of the files, and can be cut and held out.

    Items are series in their own length, float32 [l, C]; their names are "FILE, line 12". For the files and options see
    `open_series`.

    Raises:
      FileNotFoundError: nothing there.
      ValueError: labels of another kind, several label columns, no series, or a file that is broken.
    """
    if label_kind != "class" and label_kind != "targets":
        raise ValueError(
            f"{path}: series have one label each; expected label_kind 'class' or 'targets', got {label_kind!r}"
        )
    columns = label_columns(label_column, "targets") or (None,)
    if len(columns) > 1:
        raise ValueError(f"label_column={columns!r}: expected one column, series have one label each")
    series = open_series(path, label_kind=label_kind, label_column=columns[0], missing=missing)
    parts = {split: _in_memory(source) for split, source in series.splits.items()}
    return StoredDataset(series.name, parts, series.notes)


def _in_memory(source: SeriesSource) -> ArraySource:
    items = [values[:length] for values, length in zip(source.values, source.lengths.tolist(), strict=True)]
    return ArraySource(items, source.labels, source.classes, source.file, np.array(source.places))


def _files(path: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The file of each split, and notes on others."""
    if not path.is_dir():
        if path.suffix.lower() not in FORMATS:
            raise ValueError(f"{path} is no file of series; expected {EXPECTED}")
        return {"train": path}, ()
    names = sorted(entry.name for entry in path.iterdir() if entry.is_file())
    for suffix in FORMATS:
        of_format = [name for name in names if Path(name).suffix.lower() == suffix]
        if suffix == ".npz" and len(of_format) == 1:
            return {"train": path / of_format[0]}, ()
        by_stem = {Path(name).stem: name for name in of_format}
        files = {split: path / by_stem[stem] for split, stem in by_split(list(by_stem)).items()}
        if "train" in files and suffix != ".npz":
            others = [name for name in names if name not in {file.name for file in files.values()}]
            unread = [name for name in others if Path(name).suffix.lower() in FORMATS]
            return files, (f"not read: {', '.join(unread)}",) if unread else ()
    folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    hint = f"; did you mean {path / folders[0]}?" if folders else ""
    raise ValueError(f"{path} has no training series; expected {EXPECTED}{hint}")
