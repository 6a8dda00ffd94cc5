"""A folder of images beside a folder of masks: images whose pixels are classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from resnet_jax.data.loading.threads import in_threads
from resnet_jax.data.sources.annotations import IGNORED
from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.data.sources.identity import file_fingerprints, name_and_size_fingerprints, name_fingerprints
from resnet_jax.errors import DataError, UnreadableImage
from resnet_jax.formats.dense.class_lists import class_list
from resnet_jax.formats.dense.images import ImageFinder
from resnet_jax.formats.dense.parts import image_files
from resnet_jax.formats.dense.problems import Problems
from resnet_jax.formats.listing import list_files, subfolders
from resnet_jax.formats.splits import split_of
from resnet_jax.images.decoding import read_label_map

FOLDERS = ("masks", "mask", "labels", "annotations", "segmentations", "SegmentationClass", "SegmentationClassRaw")
IMAGE_FOLDERS = frozenset("images image img imgs JPEGImages".split())
ENDINGS = ("", "_mask", "_label", "_labels", "_seg", "-mask", "_labelIds", "_gt")  # of a mask's name after the image's


@dataclass(frozen=True, eq=False)
class MaskFiles:
    """Label maps in files; see `dense.Truths`."""

    paths: Sequence[Path]
    num_classes: int
    root: str

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """Raises DataError for a file that cannot be read, or has other values than classes and 255."""
        path = self.paths[index]
        label_map = read_mask(path)
        outside = label_map[(label_map >= self.num_classes) & (label_map != IGNORED)]
        if outside.size:
            expected = f"0 to {self.num_classes - 1}, or {IGNORED} for ignored pixels"
            raise DataError(f"{path} has pixels of class {outside.max()}; expected {expected}")
        return label_map

    def codes(self, index: np.ndarray, kind: str) -> np.ndarray:
        """31 bits of the fingerprint of each file: of its contents, or its name and size."""
        paths = [self.paths[i] for i in index]
        if kind == "names":
            fingerprints = name_and_size_fingerprints(paths, name_fingerprints(paths, self.root))
        else:
            fingerprints = file_fingerprints(paths, self.root)
        return (fingerprints >> np.uint64(33)).astype(np.int32)

    def presence(self, num_classes: int) -> np.ndarray:
        return self._presence[:, :num_classes]

    @cached_property
    def _presence(self) -> np.ndarray:
        """Which values each mask has: int [n, 255]. Every file is read; one that cannot be has none."""
        return values_of(self.paths)


def read_mask(path: Path) -> np.ndarray:
    """The values of a mask file, uint8 [H, W]. Raises DataError if it cannot be read."""
    try:
        return read_label_map(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnreadableImage as error:
        raise DataError(str(error)) from None


def values_of(paths: Sequence[Path]) -> np.ndarray:
    """Which of the values 0 to 254 each mask has: int [n, 255], all 0 for a file that cannot be read."""

    def read(index: int) -> np.ndarray:
        try:
            return (np.bincount(read_mask(paths[index]).ravel(), minlength=256)[:IGNORED] > 0).astype(np.int64)
        except DataError:  # reported where it is served
            return np.zeros(IGNORED, np.int64)

    return np.stack(list(in_threads(read, len(paths), threads=None)))


def mask_source(root: Path, pairs: Mapping[Path, Path], classes: tuple[str, ...]) -> DenseSource:
    """Images with the mask of each. Raises ValueError if there are none."""
    if not pairs:
        raise ValueError(f"{root}: expected at least one image with a mask, got none")
    paths = sorted(pairs)
    truths = MaskFiles([pairs[path] for path in paths], len(classes), str(root))
    return DenseSource(image_files(root, paths), truths, classes, "pixels")


def find_masks(root: Path) -> Path | None:
    """The folder of masks in a folder, by its name; None: there is none."""
    names = subfolders(root)
    matches = [name for known in FOLDERS for name in names if name.casefold() == known.casefold()]
    return root / matches[0] if matches and len(names) > 1 else None


def open_masks(root: Path, folder: Path, problems: Problems) -> dict[str, DenseSource]:
    """The images below `root` with the masks below `folder`, whose files have the same names, or the same and "_mask".

    Folders of one name in both are splits where they mean one (train, val); otherwise all is "train". Masks have grey
    levels or a palette, whose numbers are the classes; 255 is ignored. Names of the classes are in a file (classes.txt,
    labels.txt, data.yaml) beside the masks or images; without it the classes are numbers up to the largest one.

    Raises:
      ValueError: no image has a mask, or masks of 0 and 255 alone.
    """
    masks = {_key(path, folder): path for path in list_files(folder).paths}
    images = [path for path in ImageFinder(root, without=(folder,)).paths if not path.is_relative_to(folder)]
    parts: dict[str, dict[Path, Path]] = {}
    used: set[Path] = set()
    for path in images:
        key = _key(path, root)
        matches = [masks[key + ending] for ending in ENDINGS if key + ending in masks]
        if not matches:
            problems.add(str(path), f"no mask of this name in {folder}")
            continue
        used.add(matches[0])
        parts.setdefault(_split(key), {})[path] = matches[0]
    for mask in sorted(set(masks.values()) - used):
        problems.add(str(mask), f"no image of this name in {root}")
    if not used:
        raise ValueError(f"{root}: none of {len(images):,} images has a mask of its name in {folder}")
    classes = class_list(folder, root) or _numbered(folder, list(parts.get("train", {}).values()))
    ordered = sorted(parts, key=lambda split: split != "train")
    return {split: mask_source(root, parts[split], classes) for split in ordered}


def _key(path: Path, folder: Path) -> str:
    """The file's path without its extension, and without folders that are called images or masks."""
    inside = path.relative_to(folder).with_suffix("")
    return "/".join(part for part in inside.parts[:-1] if part not in IMAGE_FOLDERS | set(FOLDERS)) + f"/{inside.name}"


def _split(key: str) -> str:
    first = key.split("/")[0]
    return split_of(first) or "train"


def _numbered(folder: Path, paths: Sequence[Path]) -> tuple[str, ...]:
    """Names "0", "1", ... up to the largest class in the masks."""
    present = np.flatnonzero(values_of(paths).any(0)) if paths else np.arange(0)
    if not len(present) and paths:
        read_mask(paths[0])  # raises if the masks cannot be read
    if not len(present) or present[-1] == 0:
        hint = "save them with the numbers of the classes: 0, 1, 2, ..."
        values = join_names(["no class", *map(str, present)][-1:])
        raise ValueError(f"the masks in {folder} have {values} alone, beside 255, which is ignored; {hint}")
    return tuple(map(str, range(int(present[-1]) + 1)))
