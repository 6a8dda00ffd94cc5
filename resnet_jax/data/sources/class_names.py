"""Names of classes: looked up, typed with commas, renamed. Unicode forms of one name are equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from resnet_jax.errors import composed, did_you_mean


def places(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Index of each name in `classes`; -1 if it is not there."""
    by_name = {composed(name): place for place, name in enumerate(classes)}
    return [by_name.get(composed(name), -1) for name in names]


def split_names(names: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Names that may be typed with commas between them: split if the whole is no class, and all its parts are."""

    def parts(name: str) -> list[str]:
        several = [part.strip() for part in name.split(",")]
        return several if -1 in places([name], classes) and -1 not in places(several, classes) else [name]

    return tuple(part for name in names for part in parts(name))


def rename_classes(classes: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """New names of the classes: one each, in their order, or CLASS=NAME for those to be renamed.

    Raises:
      ValueError: another number of names, an unknown class, or a name given twice.
    """
    known = {composed(name) for name in classes}
    if (several := next((name for name in names if name.count("=") > 1 and "," in name), None)) is not None:
        raise ValueError(f"class_names: expected spaces between CLASS=NAME and the next, got {several!r}")
    if len(names) == 1 < len(classes) == len(names[0].split(",")):
        names = [name.strip() for name in names[0].split(",")]
    by_class = dict(name.partition("=")[::2] for name in names)
    if all("=" in name for name in names) and (
        len(names) != len(classes) or any(composed(name) in known for name in by_class)
    ):
        names = _renamed(classes, names, by_class)
    if len(names) != len(classes):
        raise ValueError(f"expected {len(classes)} class names, for {join_names(classes)}; got {len(names)}")
    names = [composed(name) for name in names]
    if not all(name.strip() for name in names):
        raise ValueError(f"class_names has an empty name; expected one for each of {join_names(classes)}")
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ValueError(f"class name {repeated[0]!r} is given to two classes; expected another name for each")
    return tuple(names)


def _renamed(classes: Sequence[str], names: Sequence[str], by_class: dict[str, str]) -> list[str]:
    known = {composed(name) for name in classes}
    for name in by_class:
        if composed(name) not in known:
            raise ValueError(f"class_names: no class {name!r} to rename; {did_you_mean(name, classes)}")
    if len(by_class) < len(names):
        raise ValueError(f"class_names {', '.join(names)}; expected each class once")
    if empty := next((name for name, new in by_class.items() if not new.strip()), None):
        raise ValueError(f"class_names: expected a name for class {empty!r}, got {empty + '='!r}")
    new_names = {composed(name): new for name, new in by_class.items()}
    return [new_names.get(composed(name), name) for name in classes]


def with_class_names(source: Any, names: Sequence[str]) -> Any:
    """The source with its classes renamed; see `rename_classes`."""
    return replace(source, classes=rename_classes(source.classes, names))


def join_names(names: Sequence[str], most: int = 20) -> str:
    """For a message: at most this many names, separated by commas."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
