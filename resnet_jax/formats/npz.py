"""NumPy archives of images and labels, as Keras, MedMNIST and people write them."""

from __future__ import annotations

import math
import re
import zipfile
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.label_kinds import LabelKind, check_precision
from resnet_jax.data.sources.limits import check_size
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import composed, one_line
from resnet_jax.formats.arrays import UnreadSplit, as_source, flat_labels, missing_labels, stored
from resnet_jax.formats.splits import split_of

PAIRS = {"images": "labels", "image": "label", "x": "y"}  # an array's name and that of its labels
LAYOUTS = "x_train and y_train; or train_images and train_labels; or images and labels; or image and label; or x and y"


def open_npz(path: Path, label_kind: LabelKind = "class") -> StoredDataset:
    """An archive with x_train, y_train, x_test, y_test; or train_images, ...; or images, labels for training alone.

    Labels are whole numbers [n], 0 or 1 in [n, K], or numbers [n] or [n, T], by `label_kind`. The names of classes or
    targets may be in an array `classes`.

    Raises:
      ValueError: the file is corrupted or has no such arrays, or images and labels do not fit.
    """
    if not zipfile.is_zipfile(path):  # NumPy would take anything else for a pickle
        raise ValueError(f"{path} is no .npz file, or is truncated")
    splits: dict[str, UnreadSplit] = {}
    unlabelled: dict[str, str] = {}
    names = array_names(path)
    classes = tuple(map(composed, map(str, read_array(path, "classes").ravel()))) if "classes" in names else None
    if wrong := [name for name, count in Counter(classes).items() if count > 1 or not name]:
        raise ValueError(
            f"{path}: array 'classes' has the name {wrong[0]!r}, empty or twice; expected another for each class"
        )
    for split, (x, y) in array_pairs(path, names).items():
        labels = read_array(path, y)
        if split != "train" and (value := missing_labels(flat_labels(labels, len(labels)), label_kind)):
            unlabelled[split] = f"{path}: {y} has no labels, it is {value} everywhere"
            continue
        read = partial(_read_split, path, x, labels, split, classes, label_kind)
        splits[split] = UnreadSplit(len(labels) if labels.ndim else 0, read)
    return stored(str(path), splits, unlabelled=unlabelled)


def _read_split(
    path: Path,
    x: str,
    labels: np.ndarray,
    split: str,
    classes: tuple[str, ...] | None,
    label_kind: LabelKind,
    _: tuple[str, ...] | None,
) -> ArraySource:
    source = as_source(read_array(path, x), labels, f"{path}, {split}", classes, label_kind=label_kind)
    if label_kind == "targets" and split == "train":
        check_precision(labels, source.file)
    return source


def array_pairs(path: Path, names: set[str]) -> dict[str, tuple[str, str]]:
    """The names of the arrays of images and labels of each split, training first."""
    splits: dict[str, dict[str, str]] = defaultdict(dict)  # arrays of each split, by x or y
    for name in sorted(names):
        for word, rest in _parted(name):
            if word in (*PAIRS, *PAIRS.values()) and (split := split_of(rest)):
                splits[split].setdefault(word, name)
    pairs: dict[str, tuple[str, str]] = {}
    for split, arrays in splits.items():
        for x, y in PAIRS.items():
            if x in arrays and y in arrays:
                pairs.setdefault(split, (arrays[x], arrays[y]))
    if "train" in pairs:
        return {"train": pairs.pop("train"), **pairs}
    for x, y in PAIRS.items():
        if {x, y} <= names:
            return {"train": (x, y)}
    raise ValueError(f"{path}: has the arrays {', '.join(sorted(names)) or '(none)'}; expected {LAYOUTS}")


def _parted(name: str) -> list[tuple[str, str]]:
    """Both ways to read "x_train" and "train_x" as a word and the rest."""
    first, last = re.match(r"([^_]+)_(.+)", name), re.match(r"(.+)_([^_]+)", name)
    ways = [(first[1], first[2])] if first else []
    return [(word.lower(), rest) for word, rest in ways + ([(last[2], last[1])] if last else [])]


def array_names(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    except Exception as error:  # zipfile raises several types for a corrupted archive
        raise ValueError(f"{path}: {one_line(error)}") from None


def read_array(path: Path, name: str) -> np.ndarray:
    """One array.

    Raises:
      ValueError: it is corrupted, or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _array(path, archive, name)
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen types
        message = one_line(error)
        raise ValueError(message if message.startswith(str(path)) else f"{path}: {message}") from None


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array, once its header is known to claim what is there: NumPy at once makes room for what is claimed."""
    member = archive.getinfo(f"{name}.npy")
    check_size(path, member.file_size)
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"array {name!r} is of version {version} of NumPy's format; expected 1.0 or 2.0")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        there = member.file_size - stream.tell()
    # Any number of values without bytes fits, and two negative sizes make a positive one.
    is_valid = dtype.itemsize and min(shape, default=0) >= 0 and dtype.itemsize * math.prod(shape) == there
    if not (is_valid or dtype.hasobject):
        raise ValueError(f"array {name!r} is truncated or corrupted: {there} bytes for {dtype} {list(shape)}")
    with archive.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False)
