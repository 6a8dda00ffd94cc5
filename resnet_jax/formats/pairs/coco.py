"""COCO's captions: JSON with "images" and "annotations", each with an image_id and a caption (Chen et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import one_line
from resnet_jax.formats.captions import checked_caption
from resnet_jax.formats.dense.coco import files_by_split, read_coco
from resnet_jax.formats.dense.images import ImageFinder
from resnet_jax.formats.pairs.parts import BadPairs, stored_pairs

KEYS = ("images", "annotations")


def caption_files(root: Path) -> list[Path]:
    """Files whose name begins with "captions" in a folder, or in its folder "annotations"."""
    return sorted(root.glob("captions*.json")) or sorted(root.glob("annotations/captions*.json"))


def open_coco_captions(root: Path, files: Sequence[Path], *, skip_unreadable: bool) -> StoredDataset:
    """The pairs of COCO files, one for each split by its name ("captions_train2017.json"); a single one is "train".

    An image is a pair with each of its captions.

    Raises:
      ValueError: a file is not such JSON, two files are of one split, or none is to train on; a caption without text or
        image, unless they are skipped. The message begins with the file and the annotation.
    """
    finder, problems = ImageFinder(root), BadPairs(skip_unreadable)
    by_split = files_by_split(files, root)
    pairs = (pair for split, file in by_split.items() for pair in _pairs(file, split, finder, problems))
    return stored_pairs(root, pairs, problems, files)


def _pairs(file: Path, split: str, finder: ImageFinder, problems: BadPairs) -> Iterator[tuple[str, Path, str]]:
    contents = read_coco(file, KEYS)
    names = _names(file, contents["images"])
    for place, record in enumerate(contents["annotations"]):
        where = f"{file}, annotation {record.get('id', place) if isinstance(record, dict) else place}"
        try:
            path, caption = _pair(record, names, file, split, finder)
        except ValueError as error:
            problems.add(where, one_line(error))
            continue
        yield split, path, caption


def _names(file: Path, images: list[Any]) -> dict[Any, Any]:
    """File names by id. Raises ValueError for an image without an id, or with that of another file."""
    names: dict[Any, Any] = {}
    for place, image in enumerate(images):
        number, name = (image.get(key) for key in ("id", "file_name")) if isinstance(image, dict) else (None, None)
        if isinstance(number, bool) or not isinstance(number, int | str):
            raise ValueError(f"{file}: expected an id and a file_name of image {place}, got {repr(image)[:50]}")
        if names.setdefault(number, name) != name:
            raise ValueError(f"{file}: images {names[number]!r} and {name!r} have one id, {number!r}; expected two")
    return names


def _pair(record: Any, names: dict[Any, Any], file: Path, split: str, finder: ImageFinder) -> tuple[Path, str]:
    if not isinstance(record, dict):
        raise ValueError(f"expected an object of JSON, got {repr(record)[:50]}")
    number, caption = record.get("image_id"), record.get("caption")
    if not isinstance(caption, str):
        raise ValueError(f"expected a caption, got {repr(caption)[:50]}")
    name = names.get(number) if isinstance(number, int | str) and not isinstance(number, bool) else None
    if not isinstance(name, str) or not name:
        raise ValueError(f"no image has the id {number!r} and a file_name")
    return finder.find(name, file, split), checked_caption(caption)
