"""Datasets in the user's files: folders, files of labels, IDX, CIFAR's archives, .npz, Parquet and packed sets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.files import expanded
from resnet_jax.formats import cifar, idx, npz, packed, shards
from resnet_jax.formats.dense import has_annotations
from resnet_jax.formats.file_kinds import IMAGE_FILES
from resnet_jax.formats.folders import open_folders
from resnet_jax.formats.folders_0_1_0 import open_folders_as_0_1_0
from resnet_jax.formats.idx import read_idx
from resnet_jax.formats.labels import open_labels
from resnet_jax.formats.listing import image_files_below, subfolders
from resnet_jax.formats.options import ReadOptions, label_columns, label_file
from resnet_jax.formats.tables import SUFFIXES

__all__ = ["image_files_below", "is_image_folder", "open_path", "read_idx"]

ARCHIVES = frozenset(".zip .tar .gz .tgz .bz2 .xz .7z .rar".split())
SAVED = ("dataset_dict.json", "state.json")  # files that save_to_disk writes


def open_path(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    label_column: str | Sequence[str] | None = None,
    image_column: str | None = None,
    label_kind: LabelKind = "class",
    classes: tuple[str, ...] | None = None,
    as_0_1_0: bool = False,
    skip_unreadable: bool = False,
) -> StoredDataset:
    """The dataset at a path, by what is there. Splits are read when they are asked for.

    - a folder with a sub-folder of images per class, or such a folder each for train and val (or test)
    - a folder of images and a file of their labels (.csv, .tsv, .jsonl), or that file
    - a folder of IDX files: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., with or without .gz
    - the folders cifar-10-batches-bin and cifar-100-binary
    - an .npz with x_train, y_train, x_test, y_test; or train_images, ...; or images, labels
    - a .parquet file, or a folder of them: encoded images in a column "image" or "img", and "label"
    - a packed set, which `resnet-jax prepare` writes

    Args:
      labels: the file of labels, from the current folder or from `path`; None: metadata.csv there, where there are no
        class folders.
      label_column, image_column: of that file or of Parquet; None: the first there of the usual names. Several label
        columns are a target each, or a class each.
      label_kind: "class" (one per image), "multi-hot" (several) or "targets" (numbers); see `label_kinds`.
      classes: those that will be chosen; where they are the names of sub-folders, these are classes, not splits.
      as_0_1_0: read class folders as version 0.1.0 did; see `folders_0_1_0`.
      skip_unreadable: go without files that are missing (shards of Parquet, images of a file of labels).

    Raises:
      FileNotFoundError: nothing there.
      ValueError: nothing that can be understood, or images and labels that do not fit; the message names the file.
    """
    for name, value in {"path": path, "labels": labels}.items():
        if value is not None and not str(value):
            raise ValueError(f"{name}='': expected a path, as . for the current folder")
    path = expanded(path)
    options = ReadOptions(label_kind, label_columns(label_column, label_kind), image_column, skip_unreadable)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}; expected {IMAGE_FILES.expected}")
    if packed.is_packed(path):
        if labels is not None:
            raise ValueError(f"{path} is a packed set, which has its labels; expected labels=None, got {str(labels)!r}")
        options.check_no_columns(path, "the labels of a packed set")
        return packed.open_packed(path, label_kind)
    if labels is not None:
        return open_labels(path if path.is_dir() else path.parent, label_file(path, labels), options)
    return _open_folder(path, classes, options, as_0_1_0) if path.is_dir() else _open_file(path, options)


def _open_file(path: Path, options: ReadOptions) -> StoredDataset:
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return open_labels(path.parent, path, options)
    if path.is_file() and path.suffix == ".parquet":
        return shards.open_image_tables(path, [path], options)
    if path.is_file() and path.suffix == ".npz":
        options.check_no_columns(path)
        return npz.open_npz(path, options.label_kind)
    unpack = "; unpack it first" if path.suffix.lower() in ARCHIVES else ""
    raise ValueError(
        f"{path} is no dataset; expected {IMAGE_FILES.expected}{unpack}"
    )  # a pipe or a device would block for ever


def _open_folder(path: Path, classes: tuple[str, ...] | None, options: ReadOptions, as_0_1_0: bool) -> StoredDataset:
    names = sorted(entry.name for entry in path.iterdir())
    if cifar.is_cifar(names):
        options.check_no_columns(path)
        if options.label_kind != "class":
            raise ValueError(f"{path} has the classes of CIFAR; expected label_kind='class'")
        return cifar.open_cifar(path, names)
    if idx.is_idx(names):
        options.check_no_columns(path)
        return idx.open_idx(path, names, options.label_kind)
    if tables := shards.tables_below(path):
        return shards.open_image_tables(path, tables, options)
    _refuse_saved(path, names)
    _refuse_above(path)
    if as_0_1_0 and options.label_kind == "class":
        with suppress(ValueError):  # a folder that no run of version 0.1.0 could have had
            return open_folders_as_0_1_0(path)
    try:
        return open_folders(path, classes, options)
    except ValueError as error:
        if options.label_kind != "class" or not has_annotations(path):
            raise
        hint = "its annotations of objects are read with label_kind='boxes' or label_kind='pixels'"
        raise ValueError(f"{error}; {hint}") from error


def is_image_folder(path: Path) -> bool:
    """Whether a path is a folder of image files, in which every image counts as data."""
    names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    is_other = cifar.is_cifar(names) or idx.is_idx(names) or packed.is_packed(path)
    return path.is_dir() and not (is_other or shards.tables_below(path))


def _refuse_above(path: Path) -> None:
    """Raises ValueError for a folder with a set of IDX files or CIFAR's in its only folder, as MNIST/raw."""
    inner = path
    for _ in range(2):
        if len(folders := subfolders(inner)) != 1:
            return
        inner = inner / folders[0]
        names = [entry.name for entry in inner.iterdir()]
        if cifar.is_cifar(names) or idx.is_idx(names):
            raise ValueError(f"{path} has no images; did you mean {inner}?")


def _refuse_saved(path: Path, names: list[str]) -> None:
    """Raises ValueError for a folder that `save_to_disk` of Hugging Face's datasets has written."""
    if any(name in names for name in SAVED) and next(path.rglob("*.arrow"), None):
        how = "datasets.load_from_disk(FOLDER)['train'].to_parquet('train.parquet')"
        raise ValueError(f"{path} holds Arrow files of Hugging Face's save_to_disk; expected Parquet: {how}")
