"""Images with boxes and masks in the user's files: COCO JSON, Pascal VOC, YOLO text files, folders of masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnet_jax.data.sources.annotations import DenseKind
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import did_you_mean
from resnet_jax.files import expanded
from resnet_jax.formats.dense.coco import is_coco, open_coco, split_of_file
from resnet_jax.formats.dense.images import ImageFinder
from resnet_jax.formats.dense.mask_folders import find_masks, open_masks
from resnet_jax.formats.dense.problems import Problems
from resnet_jax.formats.dense.voc import is_voc, open_voc
from resnet_jax.formats.dense.yolo import find_yolo, open_yolo
from resnet_jax.formats.packed import is_packed

__all__ = ["open_dense"]

KINDS = (
    "annotations='instances.json' (COCO), a folder of XML files (Pascal VOC), a data.yaml or labels folder (YOLO), "
    "or masks='FOLDER' for label_kind='pixels'"
)
DEPTH = 3  # folders below the given one, in which annotations are looked for


def open_dense(
    path: str | Path,
    label_kind: DenseKind,
    *,
    annotations: str | Path | Sequence[str | Path] | None = None,
    masks: str | Path | None = None,
    skip_invalid: bool = False,
) -> StoredDataset:
    """The images below a folder with their boxes, or masks of classes.

    - COCO's JSON, one file or one per split (instances_train.json, instances_val.json); with "pixels" its masks are
      painted, class 0 is "background"
    - Pascal VOC: a folder with JPEGImages, and Annotations ("boxes") or SegmentationClass ("pixels"), and lists of the
      splits in ImageSets; or a folder of XML files
    - YOLO: text files beside the images, or in `labels` beside `images`, with a data.yaml or classes.txt
    - "pixels": a folder of masks whose files have the names of the images

    Without a list of splits a fifth of the images is held out (see `default_splits`).

    Args:
      path: the folder of the images, or one that has images and annotations.
      annotations: COCO's JSON files, a folder of XML or text files, or a data.yaml; from the current folder or `path`.
        None: what is below `path`.
      masks: folder of masks; from the current folder or `path`.
      skip_invalid: skip and count invalid annotations, which are otherwise an error that names them.

    Raises:
      FileNotFoundError: something is missing.
      ValueError: nothing that can be understood, or invalid annotations.
    """
    for name, value in {"path": path, "masks": masks}.items():
        if value is not None and not str(value):
            raise ValueError(f"{name}='': expected a path, as . for the current folder")
    root = expanded(path)
    if not root.exists():
        raise FileNotFoundError(f"no folder {str(root)!r}; expected the folder of the images")
    if root.is_file():
        annotations, root = [root] if annotations is None else annotations, root.parent
    problems = Problems(skip_invalid)
    places = [annotations] if isinstance(annotations, str | Path) else annotations
    named = None if places is None else [_existing(root, place, "annotations") for place in places]
    if masks is not None and (label_kind != "pixels" or named is not None):
        raise ValueError(f"masks={str(masks)!r} is for label_kind='pixels', without annotations")
    try:
        if masks is not None:
            parts = open_masks(root, _existing(root, masks, "masks"), problems)
        else:
            parts = _open(root, named, label_kind, problems)
    except ValueError:
        problems.check()  # these come first: they may be why nothing is left over
        raise
    problems.check()
    if "train" not in parts:
        raise ValueError(f"{root} has the splits {', '.join(parts)}, but none to train on")
    return StoredDataset(str(root), parts, problems.notes(), problems=(*problems.messages, *problems.clipped))


def _open(root: Path, named: list[Path] | None, label_kind: DenseKind, problems: Problems) -> dict[str, DenseSource]:
    """The splits of annotations that are named, or are found below the folder."""
    files = _json_files(root) if named is None else _named_json(named)
    if files:
        return open_coco(files, ImageFinder(root), label_kind, problems)
    if named is not None and len(named) > 1:
        raise ValueError(f"expected COCO's JSON files, one per split, got {', '.join(map(str, named))}")
    place = named[0] if named else root
    if is_voc(place):
        return open_voc(root, place, label_kind, problems)
    if (yolo := find_yolo(place, is_named=named is not None)) is not None:
        return open_yolo(root, yolo, label_kind, problems)
    if label_kind == "pixels" and named is None and (folder := find_masks(root)) is not None:
        return open_masks(root, folder, problems)
    if named is None and is_packed(root):
        raise ValueError(f"{root} is a packed set, which has no annotations; expected {KINDS}")
    problem = f"{place} has no annotations" if named else f"{root} has no annotations that are known"
    raise ValueError(f"{problem}; expected {KINDS}")


def has_annotations(root: Path) -> bool:
    """Whether a folder has annotations of objects that `open_dense` finds."""
    candidates = (file for folder in _folders(root) for file in folder.glob("*.json"))
    return any(map(is_coco, candidates)) or is_voc(root) or find_yolo(root, is_named=False) is not None


def _existing(root: Path, place: str | Path, option: str) -> Path:
    for path in (expanded(place), root / place):
        if path.exists():
            return path
    beside = [str(path.relative_to(root)) for path in sorted(root.iterdir())]
    hint = did_you_mean(str(place), beside, f"expected {KINDS}")
    raise FileNotFoundError(f"no file or folder {option}={str(place)!r}, neither here nor in {root}; {hint}")


def _named_json(named: Sequence[Path]) -> list[Path]:
    files = []
    for path in named:
        if path.is_dir():
            files += _json_files(path)
        elif path.suffix.lower() == ".json":
            files.append(path)
    return files


def _folders(root: Path) -> list[Path]:
    """A folder, and those below it in which annotations are looked for."""
    folders = [root]
    for _ in range(DEPTH):
        folders += [one for folder in folders for one in folder.iterdir() if one.is_dir() and one not in folders]
    return folders


def _json_files(root: Path) -> list[Path]:
    """COCO's files below a folder, one for each split: of several those whose name begins with "instances"."""
    candidates = sorted(file for folder in _folders(root) for file in folder.glob("*.json"))
    instances = [file for file in candidates if file.name.startswith("instances")]
    files = instances or [file for file in candidates if is_coco(file)]
    if len(files) > 1 and any(split_of_file(file, root) is None for file in files):
        shown = ", ".join(str(file.relative_to(root)) for file in files[:5])
        raise ValueError(f"{root} has several JSON files of annotations; name one: annotations={shown!r}")
    return files
