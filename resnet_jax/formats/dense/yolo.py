"""YOLO's text files: a line "class cx cy w h" or "class x y x y ..." (a polygon) for each object, in shares of 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.data.sources.annotations import Annotations, DenseKind, LazyMasks, paint
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.errors import DataError
from resnet_jax.formats.dense.class_lists import TEXTS, YAMLS, class_list, names_in, read_yaml
from resnet_jax.formats.dense.images import ImageFinder
from resnet_jax.formats.dense.objects import ObjectList, Objects, PaintedObjects, polygon_masks
from resnet_jax.formats.dense.parts import dense_source
from resnet_jax.formats.dense.problems import Problems, check_box
from resnet_jax.formats.file_kinds import IMAGE_FILES, IMAGES
from resnet_jax.formats.splits import split_of
from resnet_jax.images.decoding import image_size

SPLITS = ("train", "val", "test")
ROUNDING = 1e-3  # by which a share may be outside 0 to 1


@dataclass(frozen=True, eq=False)
class YoloObjects:
    """Objects whose coordinates are shares of the image; see `dense.Truths`. The header of the image file is read.

    Tools that write these files show images upright, so shares are of the image as its EXIF orientation turns it.
    """

    objects: Objects  # with images of 1 x 1
    paths: Sequence[Path]
    painted: bool = False
    _sizes: dict[int, tuple[int, int]] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Annotations | np.ndarray:
        if index not in self._sizes:
            self._sizes[index] = _size(self.paths[index])
        height, width = size = self._sizes[index]
        scale = np.array([width, height] * 2)
        rows = slice(*self.objects.starts[index : index + 2])
        shapes, boxes = self.objects.shapes[rows], self.objects.boxes[rows] * scale
        masks: LazyMasks | None = None
        if all(shape is not None for shape in shapes) and self.objects.has_masks:
            scaled = [[(np.reshape(p, (-1, 2)) * scale[:2]).ravel().tolist() for p in shape] for shape in shapes]
            masks = polygon_masks(scaled, size)
        area = self.objects.area[rows] * height * width
        labels, crowd = self.objects.labels[rows], self.objects.crowd[rows]
        annotations = Annotations(boxes, labels, masks, crowd, area, size)
        if not self.painted:
            return annotations
        if masks is None and len(annotations):
            raise DataError(f"{self.paths[index]}: expected a polygon for each object, got boxes")
        return paint(annotations, size)

    def codes(self, index: np.ndarray, kind: str) -> np.ndarray:
        return self.objects.codes(index, kind)

    def presence(self, num_classes: int) -> np.ndarray:
        return (PaintedObjects(self.objects) if self.painted else self.objects).presence(num_classes)


def _size(path: Path) -> tuple[int, int]:
    try:
        return image_size(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def find_yolo(place: Path, *, is_named: bool) -> Path | None:
    """The data.yaml, or the folder with text files, at a place; None: there is none.

    Text files count in a folder that is named, and elsewhere in a folder `labels` or beside an image of their name.
    """
    if place.is_file():
        return place if place.suffix.lower() in (".yaml", ".yml") else None
    for name in YAMLS:
        if (file := place / name).is_file() and not {"train", "names"}.isdisjoint(read_yaml(file)):
            return file
    texts = [file for file in place.rglob("*.txt") if file.name not in TEXTS]
    is_yolo = any(
        is_named
        or "labels" in file.relative_to(place).parts
        or any(file.with_suffix(suffix).exists() for suffix in IMAGES)
        for file in texts
    )
    return place if is_yolo else None


def open_yolo(root: Path, place: Path, label_kind: DenseKind, problems: Problems) -> dict[str, DenseSource]:
    """The splits that a data.yaml names, or else those of folders (train, val), or else all is "train".

    The text of an image has its name, beside it or in `labels` where the image is in `images`. An image without one has
    no objects. With "pixels" polygons are painted, class 0 is "background".

    Args:
      place: a data.yaml, or the folder of the text files; `root` has the images.

    Raises:
      ValueError: no names of classes, no text files, or no split to train on.
    """
    finder = ImageFinder(root)
    if place.is_file():
        contents = read_yaml(place)
        classes, parts = names_in(place, contents), _yaml_splits(place, contents, finder, problems)
    else:
        names = class_list(place, root, place.parent)
        if names is None:
            raise ValueError(f"{place}: expected a classes.txt or data.yaml with the names of the classes")
        classes, parts = names, _folder_splits(finder)
    texts = None if place.is_file() or place == root else place
    sources = {}
    for split, paths in parts.items():
        files = [_text_of(path, root, texts) for path in paths]
        lists = [_read(file, len(classes), problems) for file in files]
        objects = Objects.of(lists, list(map(str, paths)))
        source = dense_source(root, paths, objects, classes, label_kind)
        sources[split] = replace(source, truths=YoloObjects(objects, paths, painted=label_kind == "pixels"))
    if parts and not any(_text_of(path, root, texts).is_file() for path in parts.get("train", ())):
        raise ValueError(f"{root}: no image of 'train' has a text file, as {_text_of(parts['train'][0], root, texts)}")
    return sources


def _yaml_splits(
    file: Path, contents: dict[str, Any], finder: ImageFinder, problems: Problems
) -> dict[str, list[Path]]:
    parts = {}
    base = file.parent / str(contents.get("path") or "")
    for split in SPLITS:
        values = contents.get(split)
        paths: set[Path] = set()
        if not isinstance(values, str | list | None):
            raise ValueError(f"{file}: expected {split} to be a folder or a list of them, got {values!r}")
        for value in [values] if isinstance(values, str) else values or ():
            place = _split_place(str(value), (base, file.parent, finder.root))
            if place is None and split == "train":
                raise ValueError(f"{file}: {split} is {value!r}, which is not there; expected a folder of images")
            if place is not None:
                paths |= set(_split_images(place, finder, split, problems))
        if paths:
            parts[split] = sorted(paths)
    if "train" not in parts:
        raise ValueError(f"{file}: expected images to train on, as train: images/train")
    return parts


def _split_place(value: str, bases: Sequence[Path]) -> Path | None:
    """Where a split's images are. Exporters write "../train/images" for what is beside the file."""
    names = [value, value.removeprefix("../")]
    return next((base / name for name in names for base in bases if (base / name).exists()), None)


def _split_images(place: Path, finder: ImageFinder, split: str, problems: Problems) -> list[Path]:
    """The images of a folder, or those that the lines of a file name."""
    if place.is_dir():
        return [path for path in ImageFinder(place).paths if IMAGE_FILES.matches(str(path))]
    paths = []
    for number, line in enumerate(place.read_text(errors="replace").splitlines(), 1):
        if name := line.strip():
            try:
                paths.append(finder.find(name, place, split))
            except ValueError as error:
                problems.add(f"{place}, line {number}", str(error))
    return paths


def _folder_splits(finder: ImageFinder) -> dict[str, list[Path]]:
    parts: dict[str, list[Path]] = {}
    for path in finder.paths:
        folders = path.relative_to(finder.root).parts[:-1]
        split = next((split for folder in folders if (split := split_of(folder)) is not None), "train")
        parts.setdefault(split, []).append(path)
    return dict(sorted(parts.items(), key=lambda item: item[0] != "train"))


def _text_of(image: Path, root: Path, texts: Path | None) -> Path:
    """The text file of an image: in a folder of them, in `labels` beside `images`, or beside the image."""
    inside = image.relative_to(root) if image.is_relative_to(root) else Path(image.name)
    name = inside.with_suffix(".txt")
    if texts is not None:
        places = [texts / name, texts / name.name, texts / Path(*[p for p in name.parts if p != "images"])]
        return next((place for place in places if place.is_file()), places[0])
    parts = image.with_suffix(".txt").parts
    beside = image.with_suffix(".txt")
    if "images" in parts and not beside.is_file():
        last = len(parts) - 1 - parts[::-1].index("images")
        return Path(*parts[:last], "labels", *parts[last + 1 :])
    return beside


def _read(file: Path, num_classes: int, problems: Problems) -> ObjectList:
    """The objects of an image, whose coordinates are shares."""
    objects = ObjectList((1, 1))
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines() if file.is_file() else []
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        place = f"{file}, line {number}"
        if not line.strip():
            continue
        try:
            label, polygon, box = _parse(line.split(), num_classes)
            if " ".join(line.split()) in seen:
                raise ValueError("repeats an earlier line")
            seen.add(" ".join(line.split()))
        except ValueError as error:
            problems.add(place, str(error))
            continue
        checked = _check(box, place, problems)
        if checked is not None:
            area = (checked[2] - checked[0]) * (checked[3] - checked[1])
            objects.add(checked, label, area, shape=None if polygon is None else [polygon])
    return objects


def _parse(values: list[str], num_classes: int) -> tuple[int, list[float] | None, list[float]]:
    """Class, polygon (None: a box), and box x0, y0, x1, y1 of a line."""
    count = len(values)
    if count != 5 and (count < 7 or count % 2 == 0):
        raise ValueError(f"expected 5 values (class cx cy w h), or a class and 3 points or more, got {count} values")
    try:
        label, numbers = float(values[0]), [float(value) for value in values[1:]]
    except ValueError:
        raise ValueError(f"expected numbers, got {' '.join(values)[:60]!r}") from None
    if not label.is_integer() or not 0 <= label < num_classes:
        raise ValueError(f"class {values[0]}; the {num_classes} classes are 0 to {num_classes - 1}")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"expected finite numbers, got {' '.join(values)[:60]!r}")
    if count == 5:
        if max(numbers) > 2:
            raise ValueError(f"expected shares of the image from 0 to 1, got {' '.join(values[1:])}: pixels?")
        cx, cy, width, height = numbers
        return int(label), None, [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2]
    xs, ys = numbers[::2], numbers[1::2]
    return int(label), numbers, [min(xs), min(ys), max(xs), max(ys)]


def _check(box: list[float], place: str, problems: Problems) -> list[float] | None:
    """`check_box` in shares: rounding in the sixth digit is clipped silently, more is a problem."""
    if -ROUNDING <= min(box[:2]) and max(box[2:]) <= 1 + ROUNDING:
        box = [max(0.0, box[0]), max(0.0, box[1]), min(1.0, box[2]), min(1.0, box[3])]
        return check_box(box, (1, 1), place, problems)
    shown = " ".join(f"{value:.4g}" for value in box)
    clipped = [max(0.0, box[0]), max(0.0, box[1]), min(1.0, box[2]), min(1.0, box[3])]
    problem = f"the box {shown} (x0 y0 x1 y1, shares) reaches beyond its image"
    if not problems.skip or not (clipped[2] > clipped[0] and clipped[3] > clipped[1]):
        problems.add(place, problem)
        return None
    problems.clipped.append(f"{place}: {problem}")
    return clipped
