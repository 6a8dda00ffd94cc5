"""Weights on this machine: files, folders that are laid out as the hub's, runs and their checkpoints."""

from __future__ import annotations

from pathlib import Path

from resnet_jax.files import check_inside
from resnet_jax.weights.readers import weights_file
from resnet_jax.weights.readers.shards import shard_names

LINKED = (".json", ".safetensors", ".bin", ".pth")  # suffixes of files that a folder of the hub may have


def is_checkpoint(path: Path) -> bool:
    """Whether this is the directory of a run, its `checkpoints` directory, or one step in that."""
    if not path.is_dir():
        return False
    return (path / "checkpoints").is_dir() or _is_step(path) or any(map(_is_step, path.glob("[0-9]*")))


def _is_step(path: Path) -> bool:
    return path.name.isdigit() and ((path / "state").is_dir() or (path / "meta").is_dir())


def hub_file(folder: Path) -> Path:
    """The file of weights in a folder that is laid out as the hub's.

    Raises:
      UnreadableWeights: the folder has none.
      ValueError: a symbolic link leaves the folder (or the hub's cache, whose folders have links to each other).
    """
    file, root = weights_file(folder), hub_cache(folder) or folder
    for entry in folder.iterdir():
        if entry.suffix in LINKED:
            check_inside(entry, root)
    for shard in shard_names(file) if file.suffix == ".json" else ():  # of any suffix
        check_inside(folder / shard, root)
    return file


def hub_cache(folder: Path) -> Path | None:
    """The hub's cache where `folder` is CACHE/models--ORG--NAME/snapshots/COMMIT; None: it is not."""
    snapshots = folder.resolve().parent
    is_snapshot = snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--")
    return snapshots.parents[1] if is_snapshot else None
