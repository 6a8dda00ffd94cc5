"""Pascal VOC: an XML file of boxes, or a PNG of classes, for each image, and lists of the splits (Everingham 2010)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from resnet_jax.data.sources.annotations import DenseKind
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.errors import composed, one_line
from resnet_jax.formats.dense.images import ImageFinder
from resnet_jax.formats.dense.mask_folders import mask_source
from resnet_jax.formats.dense.objects import ObjectList, Objects
from resnet_jax.formats.dense.parts import dense_source
from resnet_jax.formats.dense.problems import Problems, check_box, check_size
from resnet_jax.formats.splits import split_of

XML, MASKS, LISTS = "Annotations", "SegmentationClass", "ImageSets"
NAMES = tuple(  # the classes of the masks of VOC, by their numbers
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor".split()
)
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Named(NamedTuple):
    """An object of an XML file."""

    name: str
    box: list[float]
    is_difficult: bool
    place: str  # for messages


def is_voc(place: Path) -> bool:
    """Whether a folder has XML files of boxes, or VOC's folders."""
    if not place.is_dir():
        return False
    top = voc_folder(place)
    return any((top / name).is_dir() for name in (XML, MASKS)) or next(place.rglob("*.xml"), None) is not None


def voc_folder(root: Path) -> Path:
    """The folder that has VOC's folders: this one, or the one in it, as VOCdevkit/VOC2012."""
    for folder in (root, *sorted(root.glob("VOC*")), *sorted(root.glob("VOCdevkit/VOC*"))):
        if (folder / "JPEGImages").is_dir():
            return folder
    return root


def open_voc(root: Path, place: Path, label_kind: DenseKind, problems: Problems) -> dict[str, DenseSource]:
    """The splits of a folder: those that lists in ImageSets name, or else all is "train".

    Boxes count pixels from 1 and include their last ones, so that (1, 1, 2, 2) is 0 0 2 2 here. Objects that are marked
    difficult count as crowd. Classes are the names in the training split, in alphabetical order.

    Args:
      place: VOC's folder, or one of XML files; `root` has the images.

    Raises:
      ValueError: no masks for label maps, or no split to train on.
    """
    top = voc_folder(place)
    if label_kind == "pixels":
        if not (top / MASKS).is_dir():
            raise ValueError(f"{top} has no folder {MASKS}; expected masks, or label_kind='boxes'")
        lists = _lists(top, "Segmentation")
        return _masks(top, lists, problems)
    finder = ImageFinder(top if top != place or (top / "JPEGImages").is_dir() else root)
    folder = top / XML if (top / XML).is_dir() else place
    files = {file.relative_to(folder).with_suffix("").as_posix(): file for file in sorted(folder.rglob("*.xml"))}
    lists = _lists(top, "Main") or {"train": [(name, "") for name in files]}
    stored = {split: _read_split(lines, files, finder, problems) for split, lines in lists.items()}
    stored = {split: rows for split, rows in stored.items() if rows}
    if "train" not in stored:
        problems.check()
        raise ValueError(f"{place} has no annotated images to train on; splits: {', '.join(lists)}")
    classes = tuple(sorted({one.name for _, _, objects in stored["train"] for one in objects}))
    labels = {name: label for label, name in enumerate(classes)}
    sources = {}
    for split, rows in stored.items():
        lists_of_objects = [_objects(size, objects, labels, problems) for _, size, objects in rows]
        paths = [path for path, _, _ in rows]
        sources[split] = dense_source(
            finder.root, paths, Objects.of(lists_of_objects, list(map(str, paths))), classes, label_kind
        )
    return sources


def _lists(top: Path, kind: str) -> dict[str, list[tuple[str, str]]]:
    """Names of the images of each split, and the line of the list that has them; empty: there are no lists."""
    lists: dict[str, list[tuple[str, str]]] = {}
    for file in sorted((top / LISTS / kind).glob("*.txt")):
        if (split := split_of(file.stem) or ("trainval" if file.stem == "trainval" else None)) is not None:
            lines = enumerate(file.read_text(errors="replace").splitlines(), 1)
            lists[split] = [(line.split()[0], f"{file}, line {number}") for number, line in lines if line.strip()]
    return dict(sorted(lists.items(), key=lambda item: item[0] != "train"))


Row = tuple[Path, tuple[int, int], list[Named]]


def _read_split(
    lines: Sequence[tuple[str, str]], files: Mapping[str, Path], finder: ImageFinder, problems: Problems
) -> list[Row]:
    """Path, size and objects of each image of a split. A list of images none of which is annotated has no rows."""
    if not any(name in files for name, _ in lines):
        return []
    rows = {}
    for name, line in lines:
        if name not in files:
            problems.add(line, f"no annotation {name}.xml")
            continue
        try:
            row = _read_xml(files[name], name, finder, problems)
            if row[0] in rows:
                raise ValueError(f"{row[0]} has another annotation")
        except ValueError as error:
            problems.add(str(files[name]), one_line(error))
            continue
        rows[row[0]] = row
    return [rows[path] for path in sorted(rows)]


def _read_xml(file: Path, name: str, finder: ImageFinder, problems: Problems) -> Row:
    """Raises ValueError for a file that is not such XML, or whose image is missing."""
    try:
        tree = ElementTree.fromstring(file.read_bytes())
    except (ElementTree.ParseError, LookupError) as error:  # LookupError: an unknown encoding
        raise ValueError(f"not valid XML: {one_line(error)}") from None
    width, height = (_number(tree.find("size"), side, "size") for side in ("width", "height"))
    check_size(height, width)
    file_name = (tree.findtext("filename") or "").strip()
    try:
        path = finder.find(file_name or name, file, "train")
    except ValueError:
        path = finder.find(Path(name).name, file, "train")
    objects = []
    for number, node in enumerate(tree.findall("object"), 1):
        where = f"{file}, object {number}"
        try:
            objects.append(_read_object(node, where))
        except ValueError as error:
            problems.add(where, str(error))
    return path, (int(height), int(width)), objects


def _read_object(node: ElementTree.Element, place: str) -> Named:
    name = composed((node.findtext("name") or "").strip())
    if not name:
        raise ValueError("expected a name")
    x0, y0, x1, y1 = (_number(node.find("bndbox"), corner, "bndbox") for corner in CORNERS)
    is_difficult = (node.findtext("difficult") or "0").strip() == "1"
    return Named(name, [x0 - 1, y0 - 1, x1, y1], is_difficult, place)


def _number(node: ElementTree.Element | None, key: str, parent: str) -> float:
    text = None if node is None else node.findtext(key)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number as {parent}/{key}, got {text!r}")
    return value


def _objects(
    size: tuple[int, int], named: Sequence[Named], labels: Mapping[str, int], problems: Problems
) -> ObjectList:
    objects = ObjectList(size)
    for one in named:
        if one.name not in labels:
            problems.add(one.place, f"class {one.name!r} is not in the training split")
        elif (box := check_box(one.box, size, one.place, problems)) is not None:
            area = (box[2] - box[0]) * (box[3] - box[1])
            objects.add(box, labels[one.name], area, crowd=one.is_difficult)
    return objects


def _masks(top: Path, lists: dict[str, list[tuple[str, str]]], problems: Problems) -> dict[str, DenseSource]:
    """Images with the masks of VOC, whose classes are known."""
    masks = {file.stem: file for file in sorted((top / MASKS).glob("*.png"))}
    lists = lists or {"train": [(name, str(file)) for name, file in masks.items()]}
    finder, sources = ImageFinder(top, without=(top / MASKS, top / "SegmentationObject")), {}
    for split, lines in lists.items():
        pairs = {}
        for name, line in lines:
            try:
                if name not in masks:
                    raise ValueError(f"no mask {name}.png in {top / MASKS}")
                pairs[finder.find(name, top / MASKS / name, split)] = masks[name]
            except ValueError as error:
                problems.add(line, str(error))
        sources[split] = mask_source(top, pairs, NAMES)
    return sources
