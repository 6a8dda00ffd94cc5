"""Datasets in files of one's own: folders of images, IDX, .npz and Parquet."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from resnet_jax.data.examples import TEST_SPLITS, Files, Items, Stored, check_size, expanded

IMAGES = frozenset(".png .jpg .jpeg .jpe .jfif .webp .gif .bmp .tif .tiff .ppm .pgm .pbm .avif".split())
SPLITS = ("train", *TEST_SPLITS)
IDX = re.compile(r"(train|t10k|test|val|validation)[-_.](images|labels)[-_.]idx([13])[-_.]ubyte(\.gz)?")
PIECE = 2**24  # bytes that are unpacked at a time
WANTED = "a folder of images, of IDX files or of .parquet files, an .npz or a .parquet file"


def open_path(path: str | Path) -> Stored:
    """The dataset at a path, by what is there.

    - a folder with a sub-folder of images per class, or such a folder each for train and val (or test)
    - a folder of IDX files: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., with or without .gz
    - an .npz with x_train, y_train, x_test, y_test; or train_images, ...; or images, labels
    - a .parquet file, or a folder of them: encoded images in a column "image" or "img", and "label"

    Raises:
      FileNotFoundError: nothing there.
      ValueError: nothing that can be understood, or images and labels that do not fit; the message names the file.
    """
    path = expanded(path)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}; wanted: {WANTED}")
    if path.is_file():
        readers = {".npz": _npz, ".parquet": lambda file: _parquet(path, {"train": [path]})}
        if path.suffix not in readers:
            raise ValueError(f"{path} is no dataset; wanted: {WANTED}")
        return readers[path.suffix](path)
    if not path.is_dir():  # a pipe or a device, of which one would read for ever
        raise ValueError(f"{path} is no dataset; wanted: {WANTED}")
    names = sorted(entry.name for entry in path.iterdir())
    if any(IDX.fullmatch(name) for name in names):
        return _idx(path, names)
    # Beside each other, or in one folder: "data", or that of a configuration, as "plain_text".
    tables = sorted(path.glob("*.parquet")) or sorted(path.glob("*/*.parquet"))
    if len(folders := sorted({str(file.parent) for file in tables})) > 1:
        raise ValueError(f"{path} has Parquet files in several folders; name one of {', '.join(folders)}")
    if tables:
        return _parquet(path, _by_split(tables))
    return _folder(path)


def _folder(path: Path) -> Stored:
    found = _folders(path)
    splits = [name for name in SPLITS if name in found]
    nested = [name for name in splits if _folders(path / name)]  # else it is a class that is called so
    if not nested:
        return Stored(str(path), {"train": _class_folders(path, _classes(path, found))})
    if others := [name for name in found if name not in SPLITS]:
        said = f"has the split {nested[0]!r} beside {', '.join(others[:5])}"
        raise ValueError(f"{path} {said}; wanted: a folder per class, or {', '.join(SPLITS)} alone")
    if "train" not in splits:
        raise ValueError(f"{path} has a folder {splits[0]!r}, but none of training images; wanted beside it: 'train'")
    classes = _classes(path / "train", _folders(path / "train"))
    for split in splits[1:]:
        other = _classes(path / split, _folders(path / split))
        if strange := sorted(set(other) - set(classes)):
            raise ValueError(f"{path / split} has classes that {path / 'train'} has not: {', '.join(strange)}")
    return Stored(str(path), {split: _class_folders(path / split, classes, every=split == "train") for split in splits})


def _folders(path: Path) -> list[str]:
    """Sub-folders, hidden ones and those of runs aside."""
    found = [entry for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(entry.name for entry in found if not _is_run(Path(entry.path)))


def _is_run(folder: Path) -> bool:
    """Whether a training run has left its config.json here: its pictures are no data."""
    try:
        record = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.keys() >= {"config", "versions"}


def _classes(path: Path, names: list[str]) -> tuple[str, ...]:
    if not names:
        images = any(file.suffix.lower() in IMAGES for file in path.iterdir())
        said = "has images, but no sub-folder of them per class" if images else f"has no images; wanted: {WANTED}"
        raise ValueError(f"{path} {said}")
    by_case = defaultdict(list)
    for name in names:
        by_case[name.casefold()].append(name)
    if alike := next((group for group in by_case.values() if len(group) > 1), None):
        raise ValueError(f"{path} has classes whose names differ by case alone: {', '.join(alike)}")
    return tuple(names)


def _class_folders(path: Path, classes: tuple[str, ...], every: bool = True) -> Files:
    """Files below each class's folder, in the order of their names. `every`: each class must have one."""
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        own = sorted(image_files_below(path / name))
        if every and not own:
            raise ValueError(f"class folder {path / name} has no images ({', '.join(sorted(IMAGES))})")
        paths += own
        labels += [label] * len(own)
    if not paths:
        raise ValueError(f"{path} has no images")
    return Files(paths, np.array(labels, np.int32), classes)


def image_files_below(folder: Path) -> Iterable[Path]:
    """Every file that is called an image, in no order; hidden ones, and those in folders of runs, aside."""
    seen: set[str] = set()  # a link may lead back to where it lies
    for root, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        if "config.json" in names and Path(root) != folder and _is_run(Path(root)):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if os.path.splitext(name)[1].lower() in IMAGES and not name.startswith("."):
                yield Path(root, name)


def _idx(path: Path, names: list[str]) -> Stored:
    """LeCun's format, as MNIST and Fashion-MNIST have it."""
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    for name in names:
        if match := IDX.fullmatch(name):
            files[{"t10k": "test"}.get(match[1], match[1])].setdefault(match[2], path / name)
    parts = {}
    for split, pair in files.items():
        if missing := {"images", "labels"} - set(pair):
            there = next(iter(pair.values()))
            raise ValueError(f"{there} has no file of {missing.pop()} beside it")
        images, labels = read_idx(pair["images"]), read_idx(pair["labels"])
        parts[split] = _arrays(images, labels, str(pair["images"]))
    return _checked(str(path), parts)


def read_idx(file: Path) -> np.ndarray:
    """An IDX file of unsigned bytes, gzipped or not.

    Raises:
      ValueError: the file is damaged, or is no such file.
    """
    if file.exists() and not file.is_file():  # of a pipe one would wait for ever
        raise ValueError(f"{file} cannot be read: not a file")
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            return _read_idx(file, stream)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None


def _read_idx(file: Path, stream: Any) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08":
        raise ValueError(f"{file} is no IDX file of unsigned bytes: it begins with {magic.hex(' ') or 'nothing'}")
    dimensions = magic[3]
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        there, header = 4 + len(sizes), 4 + 4 * dimensions
        raise ValueError(f"{file} is cut off or damaged: {there} bytes, and the header alone has {header}")
    if dimensions > 4:  # NumPy itself has a limit
        raise ValueError(f"{file} is damaged: it claims to have {dimensions} dimensions; wanted: at most 4")
    shape = np.frombuffer(sizes, ">u4").tolist()
    # In Python's whole numbers, and piece by piece: a damaged header may claim anything, and a small gzip hold as much.
    wanted, data = math.prod(shape), bytearray()
    while piece := stream.read(min(PIECE, wanted + 1 - len(data))):
        data += piece
        check_size(file, len(data))
    if 0 in shape or len(data) != wanted:
        have = f"more than {wanted}" if len(data) > wanted else str(len(data))
        raise ValueError(f"{file} is cut off or damaged: {have} values for shape {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape)


NPZ = (  # names of images and labels by split, as Keras, MedMNIST and people write them
    {"train": ("x_train", "y_train"), "test": ("x_test", "y_test"), "val": ("x_val", "y_val")},
    {
        "train": ("train_images", "train_labels"),
        "test": ("test_images", "test_labels"),
        "val": ("val_images", "val_labels"),
    },
    {"train": ("images", "labels")},
    {"train": ("image", "label")},
    {"train": ("x", "y")},
)


def _npz(path: Path) -> Stored:
    if not zipfile.is_zipfile(path):  # of anything else NumPy thinks that it was pickled
        raise ValueError(f"{path} is no .npz file, or is cut off")
    try:
        with zipfile.ZipFile(path) as file:
            names = {name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")}
            for layout in NPZ:
                if set(layout["train"]) <= names:
                    pairs = {split: pair for split, pair in layout.items() if set(pair) <= names}
                    arrays = {split: (_array(path, file, x), _array(path, file, y)) for split, (x, y) in pairs.items()}
                    break
            else:
                wanted = "; or ".join(" and ".join(layout["train"]) for layout in NPZ)
                raise ValueError(f"has the arrays {', '.join(sorted(names)) or '(none)'}; wanted: {wanted}")
            classes = tuple(map(str, _array(path, file, "classes").ravel())) if "classes" in names else None
    except Exception as error:  # of a damaged archive zipfile, zlib and NumPy say a dozen kinds
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(said if said.startswith(str(path)) else f"{path}: {said}") from None
    parts = {split: _arrays(*pair, f"{path}, {split}", classes) for split, pair in arrays.items()}
    return _checked(str(path), parts)


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array, once its header is known to claim what is there: NumPy at once makes room for what is claimed."""
    member = archive.getinfo(f"{name}.npy")
    check_size(path, member.file_size)
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"array {name!r} is of version {version} of NumPy's format; wanted: 1.0 or 2.0")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        there = member.file_size - stream.tell()
    # Values of no bytes may be any number, and two negative sizes make a positive one.
    sound = dtype.itemsize and min(shape, default=0) >= 0 and dtype.itemsize * math.prod(shape) == there
    if not (sound or dtype.hasobject):
        raise ValueError(f"array {name!r} is cut off or damaged: {there} bytes for {dtype} {list(shape)}")
    with archive.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False)


def _arrays(images: np.ndarray, labels: np.ndarray, file: str, classes: tuple[str, ...] | None = None) -> Items:
    """Images [n, H, W] or [n, H, W, C] and labels [n] or [n, 1]."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        wanted = "uint8 [n, H, W], [n, H, W, 1] or [n, H, W, 3]"
        raise ValueError(f"{file}: images are {images.dtype} {list(images.shape)}; wanted: {wanted}")
    labels = labels[:, 0] if labels.shape == (len(images), 1) else labels
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        got = f"{len(images)} images, but labels are {labels.dtype} {list(labels.shape)}"
        raise ValueError(f"{file}: {got}; wanted: whole numbers, one an image")
    if not len(images) or 0 in images.shape:
        raise ValueError(f"{file}: there are no images")
    images = images[..., None] if images.ndim == 3 else images
    if labels.min() < 0 or (classes is None and labels.max() >= 2**16):
        raise ValueError(f"{file}: labels run from {labels.min()} to {labels.max()}; wanted: 0 for the first class")
    classes = tuple(str(label) for label in range(int(labels.max()) + 1)) if classes is None else classes
    return Items(images, labels.astype(np.int64), classes, file)


def _by_split(files: list[Path]) -> dict[str, list[Path]]:
    """Files as a hub names them: train-00000-of-00002.parquet, validation.parquet; all "train" where none says more."""
    splits: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        split = next((word for word in re.split(r"[-_.]", file.stem) if word in SPLITS), "train")
        splits[split].append(file)
    return splits


def _parquet(path: Path, files: dict[str, list[Path]]) -> Stored:
    from resnet_jax.data import parquet

    parts: dict[str, Items] = {}
    for split in sorted(files, key=lambda split: split != "train"):  # it says which classes there are
        parts[split] = parquet.read(files[split], parts["train"].classes if "train" in parts else None)
    return _checked(str(path), parts)


def _checked(name: str, parts: dict[str, Any]) -> Stored:
    """The same classes in every split, and labels within them.

    Raises:
      ValueError: there is nothing to train on, a label out of range, or a gap in labels that have no names.
    """
    if "train" not in parts:
        raise ValueError(f"{name} has {', '.join(parts)}, but nothing to train on")
    train, classes = parts["train"], parts["train"].classes
    numbered = classes == tuple(map(str, range(len(classes))))  # nobody has named them
    if numbered and len(absent := np.setdiff1d(np.arange(len(classes)), train.labels)):
        said = f"{train.file}: no image has label {', '.join(map(str, absent[:5]))}{', ...' if len(absent) > 5 else ''}"
        raise ValueError(f"{said}, but the labels go up to {len(classes) - 1}; wanted: 0, 1, 2, ... without gaps")
    for split, part in parts.items():
        if part.labels.max() >= len(classes) or part.labels.min() < 0:
            bad = int(np.flatnonzero((part.labels >= len(classes)) | (part.labels < 0))[0])
            raise ValueError(
                f"{part.name(bad)} of {split!r} has label {part.labels[bad]}; labels of {len(classes)} classes are "
                f"0 to {len(classes) - 1}"
            )
    parts = {split: Items(p.images, p.labels.astype(np.int32), classes, p.file) for split, p in parts.items()}
    return Stored(name, parts)
