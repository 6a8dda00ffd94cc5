"""Order of names: numbers by value, components of a net from the image on."""

from __future__ import annotations

import re
from collections.abc import Iterable


def natural_key(name: str) -> list[tuple[int, str]]:
    """A sorting key that puts "stage1_block2" before "stage1_block10"."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def sort_components(names: Iterable[str]) -> list[str]:
    """Names of a net's components from the image on: "stem", "stage1_block0", ..., "head"."""
    return sorted(names, key=lambda name: (name == "head", name != "stem", natural_key(name)))
