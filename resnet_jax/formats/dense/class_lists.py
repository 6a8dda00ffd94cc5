"""Names of classes in a file beside images or annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from resnet_jax.errors import composed, one_line

TEXTS = ("classes.txt", "labels.txt", "class_names.txt", "obj.names", "labelmap.txt")
MOST = 100_000  # classes that a number may stand for
YAMLS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


def class_list(*folders: Path) -> tuple[str, ...] | None:
    """The names in the first such file of the folders; None: there is none. Raises ValueError for an invalid one."""
    for folder in folders:
        for name in TEXTS:
            if (file := folder / name).is_file():
                return read_text(file)
        for name in YAMLS:
            if (file := folder / name).is_file():
                return names_in(file, read_yaml(file))
    return None


def read_text(file: Path) -> tuple[str, ...]:
    """A name in each line, in the order of the classes."""
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    return _checked(file, [line.strip() for line in lines])


def read_yaml(file: Path) -> dict[str, Any]:
    """Raises ValueError for a file that is not YAML with keys."""
    try:
        contents = yaml.safe_load(file.read_text(encoding="utf-8-sig", errors="replace"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is not valid YAML: {one_line(error)}") from None
    if not isinstance(contents, dict):
        raise ValueError(f"{file}: expected keys, as names, train and val, got {type(contents).__name__}")
    return contents


def names_in(file: Path, contents: dict[str, Any]) -> tuple[str, ...]:
    """The classes of YOLO's YAML: `names`, a list, or a mapping from 0 on; or numbers up to `nc`."""
    names = contents.get("names")
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise ValueError(f"{file}: expected names of the classes 0 to {len(names) - 1}, got {list(names)}")
        names = [names[label] for label in range(len(names))]
    if names is None and isinstance(count := contents.get("nc"), int):
        if not 1 <= count <= MOST:
            raise ValueError(f"{file}: expected nc of 1 to {MOST:,} classes, got {count}")
        names = list(range(count))
    # Anchors make lists in lists of any number of values from a few lines: no text is made of them.
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
        kind = (
            f"one that has others than texts and numbers ({len(names)})"
            if isinstance(names, list)
            else type(names).__name__
        )
        raise ValueError(f"{file}: expected a list of names, got {kind}")
    return _checked(file, [str(name).strip() for name in names])


def _checked(file: Path, names: list[str]) -> tuple[str, ...]:
    names = [composed(name) for name in names]
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError(f"{file}: expected one name a class, each once, got {names[:20]}")
    return tuple(names)
