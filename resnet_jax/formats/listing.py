"""Files of one kind in folders, as images: which there are, and what is not read."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resnet_jax.formats.file_kinds import IMAGE_FILES, FileKind
from resnet_jax.formats.file_kinds import IMAGES as IMAGES

LITTER = frozenset(("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"))  # case-folded
UNSEEN = frozenset(("thumbs.db", "desktop.ini"))
SHOWN = 5  # kinds of files in a note


@dataclass
class Listing:
    """Files of one kind below a folder, in the order of their names, and what is not read there."""

    paths: list[Path] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)  # files by extension
    links: list[Path] = field(default_factory=list)  # to folders, which are not followed


def list_files(folder: Path, root: Path | None = None, kind: FileKind = IMAGE_FILES) -> Listing:
    """Lists the files of a kind.

    Hidden files, folders of runs and those that systems leave behind are skipped. A link to a folder is followed,
    unless it leads above `folder`, or to another place in `root` (the dataset; None: `folder` itself).
    """
    listing = Listing()
    seen: set[str] = set()
    top, whole = os.path.realpath(folder), os.path.realpath(folder if root is None else root)
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or not _may_hold(top, whole, real):
            listing.links += [Path(place)] * os.path.islink(place)
            folders.clear()
            continue
        seen.add(real)
        if "config.json" in names and Path(place) != folder and _is_run(Path(place)):
            folders.clear()
            continue
        folders[:] = [name for name in folders if is_shown(name)]
        for name in names:
            if name.startswith(".") or name.lower() in UNSEEN:
                continue
            if kind.matches(os.path.join(place, name)):
                listing.paths.append(Path(place, name))
            else:
                listing.unread[os.path.splitext(name)[1].lower()] += 1
    listing.paths.sort()
    listing.links.sort()
    return listing


def _may_hold(top: str, whole: str, real: str) -> bool:
    """Whether files of a class whose folder is `top` may lie in `real`: there, or outside of the whole dataset."""
    return _lies_in(real, top) or not (_lies_in(real, whole) or _lies_in(top, real))


def _lies_in(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer.rstrip(os.sep) + os.sep)


def image_files_below(folder: Path) -> Iterable[Path]:
    """The image files below a folder, in the order of their names; see `list_files`."""
    return list_files(folder).paths


def image_files_as_0_1_0(folder: Path) -> Iterable[Path]:
    """Every file with the extension of an image, unordered and without hidden files, as version 0.1.0 listed them."""
    seen: set[str] = set()  # a link may lead back to where it lies
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        images = [name for name in names if os.path.splitext(name)[1].lower() in IMAGES and not name.startswith(".")]
        yield from (Path(place, name) for name in images)


def is_shown(name: str) -> bool:
    """Whether a folder is neither hidden nor made by the operating system."""
    return not name.startswith(".") and name.casefold() not in LITTER


def subfolders(path: Path) -> list[str]:
    """Names of the subfolders, sorted; hidden ones, those of the operating system and run directories are skipped."""
    # A link that points to itself is no folder; the entry's own is_dir() would raise an error.
    names = sorted(entry.name for entry in os.scandir(path) if os.path.isdir(entry) and is_shown(entry.name))
    return [name for name in names if not _is_run(path / name)]


def _is_run(folder: Path) -> bool:
    """Whether the folder is a run directory, whose pictures are not data."""
    try:
        record = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.keys() >= {"config", "versions"}


def has_files(folder: Path, kind: FileKind = IMAGE_FILES) -> bool:
    """Whether a file of a kind lies anywhere below a folder."""
    for place, folders, names in os.walk(folder):
        if any(kind.matches(os.path.join(place, name)) for name in names):
            return True
        folders[:] = [name for name in folders if is_shown(name)]
    return False


def notes_on(unread: Mapping[str, int], links: Iterable[Path] = ()) -> tuple[str, ...]:
    """Notes for the user on files that are not read."""
    notes = []
    if total := sum(unread.values()):
        kinds = sorted(unread.items(), key=lambda item: (-item[1], not item[0], item[0]))
        shown = [f"{count:,} {kind or 'without an extension'}" for kind, count in kinds[:SHOWN]]
        more = ", ..." if len(kinds) > SHOWN else ""
        notes.append(f"{total:,} file{'s are' if total > 1 else ' is'} not read ({', '.join(shown)}{more})")
    if leading := [str(link) for link in links]:
        more = f" and {len(leading) - 1} more" if leading[1:] else ""
        notes.append(f"links to other parts of the data are not followed: {leading[0]}{more}")
    return tuple(notes)
