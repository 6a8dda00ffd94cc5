"""Checksums of a checkpoint, CRC-32: of each array as it was in memory, and of each file as it lies on disk.

A folder without its checksums.json is one whose save was interrupted: it is written last.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from resnet_jax.errors import CorruptedCheckpoint, MissingChecksums
from resnet_jax.files import replace_file
from resnet_jax.moved import renamed_names

FILE = "checksums.json"
CHUNK = 2**20


def array_checksums(tree: Any) -> dict[str, str]:
    """{"params/stem/conv/kernel": "float32[3,3,3,16] 1a2b3c4d", ...} of numpy arrays."""
    return {name: _array_checksum(leaf) for name, leaf in named_leaves(tree)}


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """[("params/stem/conv/kernel", leaf), ...], the same for a state and for what Orbax makes of it."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def _array_checksum(x: np.ndarray) -> str:
    shape = ",".join(map(str, x.shape))
    return f"{x.dtype}[{shape}] {zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data):08x}"


def write_checksums(folder: Path, arrays: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Seals a folder: from here on, any change to `files`, or to checksums.json itself, is found.

    Raises:
      OSError: it cannot be written.
    """
    replace_file(folder / FILE, _sealed({"arrays": dict(arrays), "files": dict(files)}))


def file_checksums(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """{"state/manifest.ocdbt": "116 1a2b3c4d", ...} of every file but checksums.json; those `known` are not read again.

    The files are on the disk when this returns.

    Raises:
      OSError: a file cannot be read.
    """
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    known = known or {}
    return {name: known.get(name) or _file_checksum(folder / name, sync=True) for name in found if name != FILE}


def read_seal(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The checksums of arrays and files.

    Raises:
      MissingChecksums: it is missing, or not what was written.
      OSError: it cannot be read.
    """
    if not (folder / FILE).exists():
        raise MissingChecksums(f"{folder} has no {FILE}: its save was interrupted")
    intact = (folder / FILE).is_file()
    try:
        text = (folder / FILE).read_text() if intact else ""
        record = json.loads(text)
        arrays, files = record["arrays"], record["files"]
        intact = isinstance(files, dict) and text == _sealed({"arrays": arrays, "files": files})
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise MissingChecksums(f"{folder} is damaged: {FILE} is not what was written")
    return arrays, files


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Compares files with their checksums.

    Raises:
      CorruptedCheckpoint: which file, and how.
      OSError: a file is there, and cannot be read.
    """
    for name, wanted in files.items():
        if not (folder / name).is_file():
            raise CorruptedCheckpoint(f"{folder} is damaged: {name} is missing")
        found = _file_checksum(folder / name)
        if found != wanted:
            raise CorruptedCheckpoint(
                f"{folder} is damaged: {name} is {found}, and was written as {wanted} (bytes, CRC-32)"
            )


def check_arrays(folder: Path, tree: Any, wanted: Mapping[str, str]) -> None:
    """Raises CorruptedCheckpoint for an array that is missing, or not the one that was saved."""
    found = array_checksums(tree)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            got, saved = found.get(name, "missing"), wanted.get(name, "nothing")
            raise CorruptedCheckpoint(f"{folder} is damaged: array {name} is {got}, and was saved as {saved}")


def _file_checksum(file: Path, *, sync: bool = False) -> str:
    size = crc = 0
    with file.open("rb") as opened:
        if sync:
            os.fsync(opened.fileno())
        while chunk := opened.read(CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return f"{size} {crc:08x}"


def _sealed(record: dict[str, Any]) -> str:
    own = f"{zlib.crc32(json.dumps(record).encode()):08x}"
    return json.dumps({"crc32": own, **record}, indent=0)


if not TYPE_CHECKING:  # names of version 0.1.0
    __getattr__ = renamed_names(
        __name__,
        {
            "Damaged": "errors.CorruptedCheckpoint",
            "SealBroken": "errors.MissingChecksums",
            "SaveFailed": "errors.SaveFailed",
        },
    )
