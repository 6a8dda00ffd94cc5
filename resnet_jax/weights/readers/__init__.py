"""Reads files of weights as named arrays, whatever wrote them. No code in a file is run.

Each format's reader is imported when a file needs it, so that this package is imported quickly.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from resnet_jax.errors import UnreadableWeights, one_of
from resnet_jax.weights.readers.shards import is_index, read_shards
from resnet_jax.weights.readers.weight_file import StoredArray, WeightFile

__all__ = ["EXPECTED", "HUB_FILES", "SUFFIXES", "StoredArray", "WeightFile", "read_weights", "weights_file"]
WEIGHT_FILES = ".safetensors, .pth, .npz or .h5"  # for messages
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".npz", ".h5", ".hdf5", ".pkl", ".pickle", ".json")
EXPECTED = f"expected a file of weights ({WEIGHT_FILES})"
# Names of the file of weights in a folder of the hub, in the order in which they are tried.
HUB_FILES = (
    *("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"),
    *("pytorch_model.pth", "model.pth", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
)


def read_weights(path: Path) -> WeightFile:
    """The arrays of a file of weights, under the names that they have in it. The contents decide how it is read.

    Raises:
      FileNotFoundError: no such file.
      UnreadableWeights: another kind of file, a corrupted or malicious one, or contents other than named arrays.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file {str(path)!r}; {EXPECTED}")
    if not path.is_file():
        raise UnreadableWeights(f"{str(path)!r} is a folder or a device; {EXPECTED}")
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK"):
        return _read_archive(path)
    if is_index(path, start):
        return read_shards(path, read_weights)
    if (read := _reader(start)) is None:
        raise UnreadableWeights(f"{path.name} is {_kind(start)}; {EXPECTED}")
    return read(path)


def weights_file(path: Path) -> Path:
    """The file of weights in a folder that is laid out as the hub's; a path to anything else as it is.

    Raises:
      UnreadableWeights: the folder has none.
    """
    if not path.is_dir():
        return path
    for name in HUB_FILES:
        if (path / name).is_file():
            return path / name
    if (path / "checkpoints").is_dir() or (path / "state").is_dir():
        raise UnreadableWeights(f"{str(path)!r} is a run or a checkpoint: load_checkpoint reads it")
    raise UnreadableWeights(f"{str(path)!r} is a folder without {one_of(HUB_FILES)}; {EXPECTED}")


def _reader(start: bytes) -> Callable[[Path], WeightFile] | None:
    """The reader of a file that begins so and is no archive; None: it is not a file of weights."""
    from resnet_jax.weights.readers.safetensors import is_safetensors, read_safetensors

    if is_safetensors(start):
        return read_safetensors
    from resnet_jax.weights.readers.hdf5 import is_hdf5, read_hdf5

    if is_hdf5(start):
        return read_hdf5
    from resnet_jax.weights.readers.numpy_pickle import is_pickle, read_numpy_pickle
    from resnet_jax.weights.readers.torch_legacy import is_torch_legacy, read_torch_legacy

    if is_torch_legacy(start):  # begins with a pickle, too
        return read_torch_legacy
    return read_numpy_pickle if is_pickle(start) else None


def _read_archive(path: Path) -> WeightFile:
    from resnet_jax.weights.readers.archive import Archive
    from resnet_jax.weights.readers.npz import read_npz
    from resnet_jax.weights.readers.torch_zip import read_torch_zip

    try:
        archive = Archive(path)
    except ValueError as error:
        raise UnreadableWeights(f"{path.name} is not a complete zip archive: {error}") from None
    if "model.weights.h5" in archive.members:
        raise UnreadableWeights(f"{path.name} is a .keras archive: unpack it and read model.weights.h5")
    if archive.members and all(name.endswith(".npy") for name in archive.members):
        return read_npz(path, archive)
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
