"""COCO's JSON: "images", "annotations" and "categories"; polygons and run lengths, crowds (Lin et al. 2014)."""

from __future__ import annotations

import gc
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from resnet_jax.data.sources.annotations import DenseKind
from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.errors import composed, one_line
from resnet_jax.formats.dense.images import ImageFinder
from resnet_jax.formats.dense.objects import ObjectList, Objects
from resnet_jax.formats.dense.parts import dense_source
from resnet_jax.formats.dense.problems import Problems, check_box, check_size
from resnet_jax.formats.splits import split_in
from resnet_jax.images.rle import FARTHEST, from_coco

KEYS = ("images", "annotations", "categories")


class Image(NamedTuple):
    number: int  # its id
    path: Path
    objects: ObjectList


def open_coco(
    files: Sequence[Path], finder: ImageFinder, label_kind: DenseKind, problems: Problems
) -> dict[str, DenseSource]:
    """The splits that COCO files have: one file each, named by a word of its name ("instances_train2017.json").

    Classes are the categories of the training file in the order of their ids; their names are unchanged.

    Raises:
      ValueError: a file is not such JSON, two files are of one split, or none is to train on.
    """
    by_split = files_by_split(files, finder.root)
    ids: dict[str, int] = {}  # of the categories, by name
    sources: dict[str, DenseSource] = {}
    used: list[Path] = []
    for split, file in by_split.items():
        contents = read_coco(file)
        names = _categories(file, contents["categories"])
        numbers = {name: number for number, name in names.items()}
        ids = ids or numbers
        classes = tuple(ids)
        if strange := [name for name in names.values() if name not in classes]:
            raise ValueError(f"{file} has categories that {by_split['train']} has not: {join_names(strange)}")
        labels = {number: classes.index(name) for number, name in names.items()}
        images = _Reader(file, split, finder, labels, problems).read(contents)
        paths = [image.path for image in images]
        objects = Objects.of([image.objects for image in images], list(map(str, paths)))
        source = dense_source(finder.root, paths, objects, classes, label_kind)
        category_ids = tuple((ids | numbers).values()) if label_kind == "boxes" else ()
        sources[split] = replace(source, category_ids=category_ids, image_ids=[image.number for image in images])
        used += paths
    finder.remark_unused(used, files[0] if len(files) == 1 else files[0].parent, problems)
    return sources


def split_of_file(file: Path, root: Path) -> str | None:
    """The split that the name of a file means, or of its folder below `root`; None: none."""
    return split_in(file.stem) or (None if file.parent == root else split_in(file.parent.name))


def files_by_split(files: Sequence[Path], root: Path) -> dict[str, Path]:
    """Each file's split by its name, or by its folder's; a single one is "train"."""
    if len(files) == 1:
        return {"train": files[0]}
    by_split: dict[str, Path] = {}
    for file in files:
        if (split := split_of_file(file, root)) is None:
            raise ValueError(f"{file}: expected the name of a split in the file's name, as instances_train.json")
        if split in by_split:
            raise ValueError(f"{by_split[split]} and {file} are both of {split!r}; expected one of them")
        by_split[split] = file
    if "train" not in by_split:
        raise ValueError(f"{files[0].parent} has JSON files of {', '.join(by_split)}, but none to train on")
    return dict(sorted(by_split.items(), key=lambda item: item[0] != "train"))


def read_coco(file: Path, keys: Sequence[str] = KEYS) -> dict[str, Any]:
    """The contents of a file. Raises ValueError if it is not JSON with lists of these names."""
    try:
        with no_collection():
            contents = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not valid JSON: {one_line(error)}") from None
    lacking = [key for key in keys if not isinstance(contents, dict) or not isinstance(contents.get(key), list)]
    if lacking:
        raise ValueError(f"{file}: expected COCO's JSON, with lists {', '.join(keys)}; missing: {', '.join(lacking)}")
    return dict(contents)


def is_coco(file: Path) -> bool:
    """Whether a file is COCO's JSON with annotated objects; captions are not."""
    try:
        with no_collection():
            contents = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(contents, dict) and all(isinstance(contents.get(key), list) for key in KEYS)


def _categories(file: Path, categories: Sequence[Any]) -> dict[int, str]:
    """Names by id, in the order of the ids. Raises ValueError for invalid ones, or two of one id or name."""
    names: dict[int, str] = {}
    for place, category in enumerate(categories):
        number, name = (category.get(key) for key in ("id", "name")) if isinstance(category, dict) else (None, None)
        if not _is_whole(number) or not isinstance(name, str) or not name.strip():
            raise ValueError(f"{file}: expected an id and a name of category {place}, got {repr(category)[:200]}")
        if number in names or composed(name) in names.values():
            raise ValueError(f"{file}: category {place} has the id or name of another: {number} {name[:200]!r}")
        names[number] = composed(name)
    if not names:
        raise ValueError(f"{file} has no categories")
    return dict(sorted(names.items()))


class _Reader:
    """Reads the images and objects of one file."""

    def __init__(
        self, file: Path, split: str, finder: ImageFinder, labels: Mapping[int, int], problems: Problems
    ) -> None:
        self._file, self._split, self._finder = file, split, finder
        self._labels, self._problems = labels, problems

    def read(self, contents: Mapping[str, Any]) -> list[Image]:
        with no_collection():
            images = self._images(contents["images"])
            seen: set[Any] = set()
            for place, record in enumerate(contents["annotations"]):
                self._object(place, record, images, seen)
        # None stands for an image that is skipped, with its objects. pycocotools ranks equal scores by the ids.
        return sorted((image for image in images.values() if image is not None), key=lambda image: image.number)

    def _images(self, records: Sequence[Any]) -> dict[int, Image | None]:
        images: dict[int, Image | None] = {}
        paths: dict[Path, Any] = {}
        for place, record in enumerate(records):
            number = record.get("id") if isinstance(record, dict) else None
            where = f"{self._file}, image {number if number is not None else f'at position {place}'}"
            try:
                image = self._image(number, record)
                number = image.number
                if number in images:
                    raise ValueError("another image has this id")
                if image.path in paths:
                    raise ValueError(f"{image.path} is image {paths[image.path]} too")
            except ValueError as error:
                self._problems.add(where, str(error))
                if _is_whole(number):
                    images.setdefault(number, None)
                continue
            images[number] = image
            paths[image.path] = number
        return images

    def _image(self, number: Any, record: Any) -> Image:
        if not _is_whole(number):
            raise ValueError(f"expected a whole number as id, got {number!r}")
        height, width, name = (record.get(key) for key in ("height", "width", "file_name"))
        if not isinstance(name, str) or not name:
            raise ValueError(f"expected a file_name, got {name!r}")
        if not all(_is_whole(side) and side > 0 for side in (height, width)):
            raise ValueError(f"expected height and width in pixels, got {height!r} and {width!r}")
        check_size(height, width)
        return Image(number, self._finder.find(name, self._file, self._split), ObjectList((height, width)))

    def _object(self, place: int, record: Any, images: Mapping[int, Image | None], seen: set[Any]) -> None:
        number = record.get("id", f"at position {place}") if isinstance(record, dict) else f"at position {place}"
        where = f"{self._file}, annotation {number}"
        try:
            if not isinstance(record, dict):
                raise ValueError(f"expected an object of JSON, got {record!r}")
            if not isinstance(number, int | str):
                raise ValueError(f"expected a number as id, got {number!r}")
            if number in seen:
                raise ValueError("another annotation has this id")
            seen.add(number)
            image_id = record.get("image_id")
            if not isinstance(image_id, int) or image_id not in images:
                raise ValueError(f"no image has the id {image_id!r}")
            if (image := images[image_id]) is None:
                return
            self._add(where, record, image.objects)
        except (ValueError, TypeError) as error:
            self._problems.add(where, one_line(error))

    def _add(self, where: str, record: Mapping[str, Any], objects: ObjectList) -> None:
        size = objects.size or (0, 0)
        category, crowd, shape = record.get("category_id"), record.get("iscrowd", 0), record.get("segmentation")
        if not _is_whole(category) or category not in self._labels:
            raise ValueError(f"no category has the id {category!r}")
        if crowd not in (0, 1):
            raise ValueError(f"expected iscrowd of 0 or 1, got {crowd!r}")
        shape = _checked_shape(shape, size) if shape else None
        box = _box_around(shape, size) if record.get("bbox") is None else _box(record["bbox"])
        if box is None:
            raise ValueError("expected a bbox of four numbers, x y width height, got none")
        checked = check_box(box, size, where, self._problems)
        if checked is None:
            return
        area: Any = record["area"] if "area" in record else _area(shape, size)
        if not _is_number(area):
            area = (checked[2] - checked[0]) * (checked[3] - checked[1])
        objects.add(checked, self._labels[category], float(area), crowd=bool(crowd), shape=shape)


def _box(values: Any) -> list[float]:
    """COCO's x, y, width, height as x0, y0, x1, y1."""
    if not isinstance(values, list) or len(values) != 4 or not all(map(_is_number, values)):
        raise ValueError(f"expected a bbox of four finite numbers, x y width height, got {values!r}")
    x, y, width, height = map(float, values)
    return [x, y, x + width, y + height]


def _checked_shape(shape: Any, size: tuple[int, int]) -> Any:
    """A segmentation: run lengths as they are, or polygons as arrays, a quarter of the memory of lists.

    Raises:
      ValueError: neither, or not of the image's size.
    """
    if isinstance(shape, dict):
        if (stored := shape.get("size")) != list(size):
            raise ValueError(f"its mask is of {stored!r}, the image of {list(size)} (height, width)")
        from_coco(shape, size)
        return shape
    if not isinstance(shape, list):
        raise ValueError(f"expected polygons or run lengths as segmentation, got {type(shape).__name__}")
    return [_polygon(polygon) for polygon in shape]


def _polygon(values: Any) -> np.ndarray:
    """float64 [2 n]: x, y of each corner."""
    if not isinstance(values, list) or len(values) % 2 or not {*map(type, values)} <= {int, float}:
        raise ValueError("expected polygons of finite numbers, x y x y ...")
    if len(values) < 6:
        raise ValueError(f"expected polygons of at least 3 points, got {len(values) // 2}")
    try:
        polygon = np.array(values, np.float64)
    except OverflowError:  # JSON has whole numbers of any length
        polygon = np.array([math.inf])
    if not np.isfinite(polygon).all():
        raise ValueError("expected polygons of finite numbers, x y x y ...")
    if (largest := np.abs(polygon).max()) >= FARTHEST:
        raise ValueError(f"expected corners of polygons below {FARTHEST:g} pixels, got {largest:g}")
    return polygon


def _box_around(shape: Any, size: tuple[int, int]) -> list[float] | None:
    """x0, y0, x1, y1 around a segmentation; None: there is none, or it is empty."""
    if shape is None:
        return None
    if isinstance(shape, dict):
        mask = from_coco(shape, size)
        return mask.box.tolist() if mask.area else None
    corners = np.concatenate(shape).reshape(-1, 2)
    return [*corners.min(0).tolist(), *corners.max(0).tolist()]


def _area(shape: Any, size: tuple[int, int]) -> float | None:
    """Of a segmentation, pixels; None: there is none."""
    if shape is None:
        return None
    return float(from_coco(shape, size).area) if isinstance(shape, dict) else sum(map(_polygon_area, shape))


def _polygon_area(polygon: np.ndarray) -> float:
    x, y = polygon[::2], polygon[1::2]
    return abs(float(np.roll(x, 1) @ y - x @ np.roll(y, 1))) / 2


@contextmanager
def no_collection() -> Iterator[None]:
    """Without cyclic garbage collection, which looks at all of the JSON's million lists again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number. JSON has whole numbers of any length; those that no float holds are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
