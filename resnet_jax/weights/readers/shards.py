"""Reads weights that are divided into several files, by the index beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from resnet_jax.errors import UnreadableWeights, listed, one_line
from resnet_jax.weights.readers.weight_file import StoredArray, WeightFile


def is_index(path: Path, start: bytes) -> bool:
    """Whether a file of this name that begins so is an index: `model.safetensors.index.json` or `.bin.index.json`."""
    return path.name.endswith(".json") and start.lstrip()[:1] == b"{"


def read_shards(path: Path, read: Callable[[Path], WeightFile]) -> WeightFile:
    """The arrays of all files in an index, each read by `read`.

    Raises:
      UnreadableWeights: an index that is none, a missing file, or other arrays than the index has.
    """
    weight_map = _weight_map(path)
    tensors: dict[str, StoredArray] = {}
    formats: dict[str, None] = {}
    metadata: dict[str, str] = {}
    for name in dict.fromkeys(weight_map.values()):
        if not (path.parent / name).is_file():
            raise UnreadableWeights(f"{path.name} lists {name}, which is missing")
        shard = read(path.parent / name)
        expected = {array for array, file in weight_map.items() if file == name}
        if differing := sorted(expected ^ shard.tensors.keys()):
            raise UnreadableWeights(f"{name} has other arrays than {path.name} lists: {listed(differing, 3)}")
        tensors |= shard.tensors
        metadata |= shard.metadata
        formats[shard.format] = None
    return WeightFile(path, tensors, " and ".join(formats), metadata)


def shard_names(path: Path) -> list[str]:
    """Names of the files in an index. Raises UnreadableWeights for an index that is none."""
    return list(dict.fromkeys(_weight_map(path).values()))


def _weight_map(path: Path) -> dict[str, str]:
    """The file of each array, by the index."""
    try:
        weight_map: dict[str, str] = json.loads(path.read_bytes())["weight_map"]
        for name in weight_map.values():
            if not isinstance(name, str) or Path(name).name != name or name.endswith(".json"):
                raise ValueError(f"expected names of files beside it, got {str(name)[:200]!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableWeights(f"{path.name} is not a valid index of weights: {one_line(error)}") from None
    return weight_map
