"""Reads files of weights as named arrays, whatever wrote them. No code in a file is run."""

from __future__ import annotations

from pathlib import Path

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers.archive import Archive
from resnet_jax.weights.readers.safetensors import is_safetensors, read_safetensors
from resnet_jax.weights.readers.torch_zip import read_torch_zip
from resnet_jax.weights.readers.weight_file import StoredArray, WeightFile

__all__ = ["StoredArray", "WeightFile", "read_weights"]
WEIGHT_FILES = ".safetensors or .pth, of timm or torchvision; none is downloaded"  # for messages


def read_weights(path: Path) -> WeightFile:
    """The arrays of a file of weights, under the names that they have in it. The contents decide how it is read.

    Raises:
      FileNotFoundError: no such file.
      UnreadableWeights: another kind of file, a corrupted or malicious one, or contents other than named arrays.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file {str(path)!r}; expected a file of weights ({WEIGHT_FILES})")
    if not path.is_file():
        raise UnreadableWeights(f"{str(path)!r} is a folder or a device; expected a file of weights ({WEIGHT_FILES})")
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK"):
        return _read_archive(path)
    if is_safetensors(start):
        return read_safetensors(path)
    raise UnreadableWeights(f"{path.name} is {_kind(start)}; expected a file of weights ({WEIGHT_FILES})")


def _read_archive(path: Path) -> WeightFile:
    try:
        archive = Archive(path)
    except ValueError as error:
        raise UnreadableWeights(f"{path.name} is not a complete zip archive: {error}") from None
    return read_torch_zip(path, archive)


def _kind(start: bytes) -> str:
    """What a file is that begins so and holds no weights."""
    if not start:
        return "an empty file"
    text = start.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS: `git lfs pull` gets the file"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a page of a web site, as a failed download leaves"
    if start.startswith(b"\x1f\x8b") or start[257:262] == b"ustar":
        return "an archive of tar or gzip, which must be unpacked first"
    return f"not a file of weights: it begins with {start[:8]!r}"
