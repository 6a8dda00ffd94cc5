"""Name tables: what PyTorch libraries call the modules of our nets. One table, read in either direction.

A row is (their module, our module); `{s}` is the stage from 1, `{i}` the block from 0, `{k}` the layer from 1. A leaf's
name and layout depend on its kind alone (`LEAVES`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

RESNET = (  # torchvision's and timm's resnet.py
    ("conv1", "stem/conv"),
    ("bn1", "stem/norm"),
    ("layer{s}.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
    ("layer{s}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
    ("layer{s}.{i}.downsample.0", "stage{s}_block{i}/shortcut/conv"),
    ("layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/norm"),
    ("fc", "head/dense"),
)


class Leaf(NamedTuple):
    """How one kind of array is called and laid out elsewhere."""

    name: str
    to_ours: Callable[[np.ndarray], np.ndarray] = lambda x: x


def _kernel(x: np.ndarray) -> np.ndarray:
    return x.transpose(2, 3, 1, 0) if x.ndim == 4 else x.T  # OIHW -> HWIO; [Co, Ci] -> [Ci, Co]


LEAVES = {
    "kernel": Leaf("weight", _kernel),
    "scale": Leaf("weight"),
    "bias": Leaf("bias"),
    "mean": Leaf("running_mean"),
    "var": Leaf("running_var"),
}

Path = tuple[str, ...]  # ("params", "stem", "conv", "kernel")


def their_name(path: Path, table: tuple[tuple[str, str], ...] = RESNET) -> str:
    """The name in their state dict of the array at `path` of our variables.

    Raises:
      KeyError: the table has no row for it.
    """
    _, *module, leaf = path
    ours = "/".join(module)
    for theirs, row in table:
        pattern = re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(row))
        if match := re.fullmatch(pattern, ours):
            return f"{theirs.format(**match.groupdict())}.{LEAVES[leaf].name}"
    raise KeyError(ours)
