"""Where weights come from: files, folders of the hub's layout, runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_jax.files import expanded
from resnet_jax.models.published import PublishedWeights
from resnet_jax.weights.readers import weights_file
from resnet_jax.weights.sources.local import is_checkpoint

__all__ = ["Source", "resolve"]


@dataclass(frozen=True)
class Source:
    """Weights on this machine."""

    path: Path  # a file of weights, an index of several, or the directory of a run or checkpoint
    published: PublishedWeights | None = None  # the row of the table; None: not known from the source's name
    is_checkpoint: bool = False


def resolve(source: str | Path) -> Source:
    """The weights on this machine that `source` names.

    Raises:
      UnreadableWeights: a folder without weights and checkpoints.
    """
    path = expanded(source)
    if is_checkpoint(path):
        return Source(path, is_checkpoint=True)
    return Source(weights_file(path))
