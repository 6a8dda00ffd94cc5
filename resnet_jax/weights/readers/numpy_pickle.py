"""Reads pickles of NumPy arrays in dicts, as detectron2 publishes its nets. No code in them is run."""

from __future__ import annotations

from pathlib import Path

from resnet_jax.weights.readers import pickles
from resnet_jax.weights.readers.mapped import map_file
from resnet_jax.weights.readers.torch_pickle import Storage, StorageId, is_allowed, read_contents
from resnet_jax.weights.readers.weight_file import WeightFile, reading


def is_pickle(start: bytes) -> bool:
    """Whether a file that begins so may be a pickle of a dict."""
    return (start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5")) or start.startswith(b"(dp")


def read_numpy_pickle(path: Path) -> WeightFile:
    """Every array in the dicts of a pickle, as views of the file.

    Raises:
      UnreadableWeights: a corrupted file, or contents other than arrays in dicts.
    """
    with reading(path, "pickle of arrays"):
        tree, _, _ = pickles.load(map_file(path), 0, is_allowed)
        tensors, metadata = read_contents(tree, _no_storage)
    return WeightFile(path, tensors, "pickle", metadata)


def _no_storage(identifier: StorageId) -> Storage:
    raise ValueError(f"storage {identifier.key!r} is not in the file")
