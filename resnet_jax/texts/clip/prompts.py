"""Prompts: names of classes in templates such as "a photo of a {}." (Radford et al. 2021, section 3.1.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

from resnet_jax.errors import did_you_mean
from resnet_jax.files import expanded

TEMPLATE = "a photo of a {}."
IMAGENET = "imagenet"  # the 80 published templates, and the names that CLIP has for the classes of ImageNet-1k
OPTIONS = {"names": "--labels-file", "templates": "--templates"}


def read_names(place: str) -> tuple[str, ...]:
    """Names of classes: lines of a text file, or "imagenet" for CLIP's of ImageNet-1k, of which two occur twice.

    Raises:
      ValueError, OSError: the file cannot be read, or as `check_names` and `check_different`.
    """
    names, is_shipped = _lines(place, "names")
    check_names(names, f"{place}: ")
    if not is_shipped:
        check_different(names, f"{place}: ")
    return names


def read_templates(place: str) -> tuple[str, ...]:
    """Templates: lines of a text file with {} for the name of the class, or "imagenet" for the 80 of CLIP.

    Raises:
      ValueError, OSError: the file cannot be read, or as `check_templates`.
    """
    templates, _ = _lines(place, "templates")
    check_templates(templates, f"{place}: ")
    return templates


def check_names(names: Sequence[str], where: str = "") -> None:
    """Raises ValueError for fewer than two names, or an empty one; `where` begins the message."""
    if len(names) < 2:
        raise ValueError(f"{where}expected at least two labels, got {len(names)}")
    if any(not name.strip() for name in names):
        raise ValueError(f"{where}expected a text in each label, got an empty one")


def check_different(names: Sequence[str], where: str = "") -> None:
    """Raises ValueError for a name that occurs twice, whose classes would share the probability."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{where}expected different labels, got {twice[0]!r} twice")


def check_templates(templates: Sequence[str], where: str = "") -> None:
    """Raises ValueError for no template, or one that has not a single {}."""
    if not templates:
        raise ValueError(f"{where}expected templates, got none")
    if wrong := next((template for template in templates if template.count("{}") != 1), None):
        raise ValueError(
            f"{where}expected a template with {{}} for the label once, such as {TEMPLATE!r}, got {wrong!r}"
        )


def _lines(place: str, kind: Literal["names", "templates"]) -> tuple[tuple[str, ...], bool]:
    """The lines of a text file, or of this package's, that are not empty; and whether it is this package's."""
    path = expanded(place)
    is_shipped = place == IMAGENET and not path.exists()
    if is_shipped:
        text = files(__package__).joinpath(f"{IMAGENET}_{kind}.txt").read_text(encoding="utf-8")
    elif not path.is_file():
        expected = did_you_mean(place, [IMAGENET], f"expected a text file, or {IMAGENET}")
        raise FileNotFoundError(f"{OPTIONS[kind]}: no file {place!r}; {expected}")
    else:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:  # as UTF-16 has
            raise ValueError(f"{OPTIONS[kind]}: expected a text file in UTF-8, got {place}")
    return tuple(line.strip() for line in text.splitlines() if line.strip()), is_shipped
