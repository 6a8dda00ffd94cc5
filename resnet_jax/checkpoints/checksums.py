"""CRC-32 checksums of a checkpoint: of each array in memory and of each file on disk.

checksums.json is written last: a directory without it is a save that was interrupted.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from resnet_jax.errors import CorruptedCheckpoint, MissingChecksums
from resnet_jax.files import replace_file

FILE = "checksums.json"
CHUNK = 2**20  # bytes read at a time


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """[("params/stem/conv/kernel", leaf), ...], the same for a TrainState and for the dicts that Orbax restores."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def array_checksums(tree: Any) -> dict[str, str]:
    """{"params/stem/conv/kernel": "float32[3,3,3,16] 1a2b3c4d", ...} of a pytree of NumPy arrays."""
    return {name: _array_checksum(leaf) for name, leaf in named_leaves(tree)}


def _array_checksum(x: np.ndarray) -> str:
    shape = ",".join(map(str, x.shape))
    return f"{x.dtype}[{shape}] {zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data):08x}"


def file_checksums(directory: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """{"state/manifest.ocdbt": "116 1a2b3c4d", ...} of every file but checksums.json, after flushing it to disk.

    Args:
      known: checksums of files that need not be read again.

    Raises:
      OSError: a file cannot be read.
    """
    known = known or {}
    names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    return {name: known.get(name) or _file_checksum(directory / name, sync=True) for name in names if name != FILE}


def _file_checksum(file: Path, *, sync: bool = False) -> str:
    size = crc = 0
    with file.open("rb") as opened:
        if sync:
            os.fsync(opened.fileno())
        while chunk := opened.read(CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return f"{size} {crc:08x}"


def write_checksums(directory: Path, arrays: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Writes checksums.json, which has a checksum of its own.

    Raises:
      OSError: it cannot be written.
    """
    replace_file(directory / FILE, _encode({"arrays": dict(arrays), "files": dict(files)}))


def _encode(record: dict[str, Any]) -> str:
    crc = f"{zlib.crc32(json.dumps(record).encode()):08x}"
    return json.dumps({"crc32": crc, **record}, indent=0)


def read_checksums(directory: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The checksums of the arrays and of the files.

    Raises:
      MissingChecksums: checksums.json is missing or was changed.
      OSError: it cannot be read.
    """
    if not (directory / FILE).exists():
        raise MissingChecksums(f"{directory} has no {FILE}: its save was interrupted")
    is_valid = (directory / FILE).is_file()
    try:
        text = (directory / FILE).read_text() if is_valid else ""
        record = json.loads(text)
        arrays, files = record["arrays"], record["files"]
        is_valid = isinstance(files, dict) and text == _encode({"arrays": arrays, "files": files})
    except (ValueError, KeyError, TypeError):
        is_valid = False
    if not is_valid:
        raise MissingChecksums(f"{directory} is corrupted: {FILE} is not what was written")
    return arrays, files


def verify_files(directory: Path, expected: Mapping[str, str]) -> None:
    """Compares files with their checksums.

    Raises:
      CorruptedCheckpoint: names the first file that differs.
      OSError: a file exists and cannot be read.
    """
    for name, checksum in expected.items():
        if not (directory / name).is_file():
            raise CorruptedCheckpoint(f"{directory} is corrupted: {name} is missing")
        actual = _file_checksum(directory / name)
        if actual != checksum:
            numbers = f"expected {checksum}, got {actual} (bytes, CRC-32)"
            raise CorruptedCheckpoint(f"{directory} is corrupted: {name}: {numbers}")


def verify_arrays(directory: Path, tree: Any, expected: Mapping[str, str]) -> None:
    """Raises CorruptedCheckpoint for an array that is missing or differs from the saved one."""
    actual = array_checksums(tree)
    for name in sorted(actual.keys() | expected.keys()):
        if actual.get(name) != expected.get(name):
            numbers = f"expected {expected.get(name, 'nothing')}, got {actual.get(name, 'nothing')}"
            raise CorruptedCheckpoint(f"{directory} is corrupted: array {name}: {numbers}")
