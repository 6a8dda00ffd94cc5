"""Name tables: what PyTorch libraries call the arrays of our nets. One table, read in either direction."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from resnet_jax.models import pieces
from resnet_jax.models.branches import Bottle2neck, SelectiveBasic, SelectiveBottleneck
from resnet_jax.models.heads import AttentionPoolHead, NormHead
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.stems import DeepStem

Path = tuple[str, ...]  # ("params", "stem", "conv", "kernel")


class Layout(NamedTuple):
    """How an array lies there, [Co, Ci, ...], and here, [..., Ci, Co]."""

    to_ours: Callable[[np.ndarray], np.ndarray] = lambda x: x
    to_theirs: Callable[[np.ndarray], np.ndarray] = lambda x: x


def _turned(x: np.ndarray) -> np.ndarray:
    """OIHW -> HWIO, OI -> IO; OIK -> KIO."""
    return np.moveaxis(x, (0, 1), (-1, -2)) if x.ndim > 1 else x


def _turned_back(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, (-1, -2), (0, 1)) if x.ndim > 1 else x


SAME = Layout()
KERNEL = Layout(_turned, _turned_back)
# A dense layer of ours that is a 1x1 convolution there.
POINTWISE = Layout(
    lambda x: x[:, :, 0, 0].T if x.ndim == 4 else x,
    lambda x: _turned_back(x)[..., None, None] if x.ndim == 2 else x,
)
# The names of the arrays of one module, by ours.
LEAVES = {"kernel": ".weight", "scale": ".weight", "bias": ".bias", "mean": ".running_mean", "var": ".running_var"}
LEAVES |= {"pos_embed": ""}  # its row names it whole


class Row(NamedTuple):
    """Their module and ours: `{s}` is the stage from 1, `{t}` the same from 0, `{i}` the block from 0."""

    theirs: str
    ours: str
    pieces: tuple[type, ...] = ()  # the row is for nets that have one of these; (): for all
    kernel: Layout = KERNEL


SELECTIVE = (SelectiveBasic, SelectiveBottleneck)

# torchvision's and timm's resnet.py, and what timm builds on it. The first row that fits holds.
RESNET = (
    Row("conv1.0", "stem/conv1", (DeepStem,)),
    Row("conv1.1", "stem/norm1", (DeepStem,)),
    Row("conv1.3", "stem/conv2", (DeepStem,)),
    Row("conv1.4", "stem/norm2", (DeepStem,)),
    Row("conv1.6", "stem/conv3", (DeepStem,)),
    Row("bn1", "stem/norm3", (DeepStem,)),
    Row("maxpool.0", "stem/pool/conv"),
    Row("maxpool.1", "stem/pool/norm"),
    Row("conv1", "stem/conv"),
    Row("bn1", "stem/norm"),
    Row("layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/conv", (PooledProject,)),
    Row("layer{s}.{i}.downsample.2", "stage{s}_block{i}/shortcut/norm", (PooledProject,)),
    Row("layer{s}.{i}.downsample.0", "stage{s}_block{i}/shortcut/conv"),
    Row("layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/norm"),
    Row("layer{s}.{i}.convs.{p}", "stage{s}_block{i}/branch/conv2_{p}", (Bottle2neck,)),
    Row("layer{s}.{i}.bns.{p}", "stage{s}_block{i}/branch/norm2_{p}", (Bottle2neck,)),
    Row("layer{s}.{i}.conv{k}.paths.{p}.conv", "stage{s}_block{i}/branch/conv{k}/conv_{p}", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.paths.{p}.bn", "stage{s}_block{i}/branch/conv{k}/norm_{p}", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.attn.fc_reduce", "stage{s}_block{i}/branch/conv{k}/reduce", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.attn.bn", "stage{s}_block{i}/branch/conv{k}/reduce_norm", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.attn.fc_select", "stage{s}_block{i}/branch/conv{k}/select", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.conv", "stage{s}_block{i}/branch/conv{k}", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.bn", "stage{s}_block{i}/branch/norm{k}", SELECTIVE),
    Row("layer{s}.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
    Row("layer{s}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
    Row("layer{s}.{i}.se.fc{k}", "stage{s}_block{i}/attend/fc{k}", kernel=POINTWISE),
    Row("layer{s}.{i}.se.conv", "stage{s}_block{i}/attend"),
    Row("fc", "head/dense"),
)

# timm's resnetv2.py.
PREACT = (
    Row("stem.conv{k}", "stem/conv{k}"),
    Row("stem.norm{k}", "stem/norm{k}"),
    Row("stem.conv", "stem/conv"),
    Row("stages.{t}.blocks.{i}.norm1", "stage{s}_block{i}/norm1"),
    Row("stages.{t}.blocks.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
    Row("stages.{t}.blocks.{i}.norm{k}", "stage{s}_block{i}/branch/norm{k}"),
    Row("stages.{t}.blocks.{i}.downsample.conv", "stage{s}_block{i}/shortcut/conv"),
    Row("norm", "head/norm"),
    Row("head.fc", "head/dense", kernel=POINTWISE),
)

# timm's byobnet.py, for CLIP's towers.
CLIP = (
    Row("stem.conv{k}.conv", "stem/conv{k}"),
    Row("stem.conv{k}.bn", "stem/norm{k}"),
    Row("stages.{t}.{i}.conv1_1x1.conv", "stage{s}_block{i}/branch/conv1"),
    Row("stages.{t}.{i}.conv1_1x1.bn", "stage{s}_block{i}/branch/norm1"),
    Row("stages.{t}.{i}.conv2_kxk.conv", "stage{s}_block{i}/branch/conv2"),
    Row("stages.{t}.{i}.conv2_kxk.bn", "stage{s}_block{i}/branch/norm2"),
    Row("stages.{t}.{i}.conv3_1x1.conv", "stage{s}_block{i}/branch/conv3"),
    Row("stages.{t}.{i}.conv3_1x1.bn", "stage{s}_block{i}/branch/norm3"),
    Row("stages.{t}.{i}.shortcut.conv.conv", "stage{s}_block{i}/shortcut/conv"),
    Row("stages.{t}.{i}.shortcut.conv.bn", "stage{s}_block{i}/shortcut/norm"),
    Row("head.pos_embed", "head"),
    Row("head.proj", "head/dense"),
    *(Row(f"head.{part}", f"head/{part}") for part in "qkv"),
)

# The visual part of CLIP as OpenAI and open_clip have it.
OPENAI = (
    Row("visual.conv{k}", "stem/conv{k}"),
    Row("visual.bn{k}", "stem/norm{k}"),
    Row("visual.layer{s}.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
    Row("visual.layer{s}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
    Row("visual.layer{s}.{i}.downsample.0", "stage{s}_block{i}/shortcut/conv"),
    Row("visual.layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/norm"),
    Row("visual.attnpool.positional_embedding", "head"),
    Row("visual.attnpool.c_proj", "head/dense"),
    *(Row(f"visual.attnpool.{part}_proj", f"head/{part}") for part in "qkv"),
)

# By a piece that only the nets of a table have, and whose table it is; the last is for all others.
TABLES: tuple[tuple[type | None, dict[str, tuple[Row, ...]]], ...] = (
    (NormHead, {"timm": PREACT}),
    (AttentionPoolHead, {"timm": CLIP, "openai": OPENAI}),
    (None, {"timm": RESNET, "torchvision": RESNET}),
)


class Names:
    """The names of one net's arrays elsewhere.

    Raises:
      ValueError: the library of this layout has no such net.
    """

    def __init__(self, model: nn.Module, layout: str = "timm") -> None:
        known, self.layout = tables(model), layout
        if layout not in known:
            raise ValueError(f"layout={layout!r}; of this net there are: {', '.join(known)}")
        self._rows = _rows(known[layout], frozenset(pieces(model)))

    def entry(self, path: Path) -> tuple[str, Layout]:
        """The name in their state dict of the array at `path` of our variables, and how it lies there.

        Raises:
          KeyError: the tables have no row for it.
        """
        _, *module, leaf = path
        ours = "/".join(module)
        for row, pattern in self._rows:
            if match := pattern.fullmatch(ours):
                numbers = match.groupdict()
                before = {"t": int(numbers["s"]) - 1} if "s" in numbers else {}
                name = f"{row.theirs.format(**numbers, **before)}{LEAVES[leaf]}"
                return name, row.kernel if leaf == "kernel" else SAME
        raise KeyError(ours)


def tables(model: nn.Module) -> dict[str, tuple[Row, ...]]:
    """By layout."""
    has = set(pieces(model))
    return next(found for piece, found in TABLES if piece is None or piece in has)


@cache
def _rows(table: tuple[Row, ...], has: frozenset[Any]) -> list[tuple[Row, re.Pattern[str]]]:
    rows = [row for row in table if not row.pieces or has.intersection(row.pieces)]
    return [(row, re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(row.ours)))) for row in rows]
