"""Name tables: what PyTorch libraries call the arrays of our nets. One table, read in either direction."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from resnet_jax.models import MODELS, pieces
from resnet_jax.models.branches import Bottle2neck, SelectiveBasic, SelectiveBottleneck
from resnet_jax.models.heads import AttentionPoolHead, ConvHead, NormHead
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.stems import DeepStem

Path = tuple[str, ...]  # ("params", "stem", "conv", "kernel")


class Layout(NamedTuple):
    """How an array lies there, [Co, Ci, ...], and here, [..., Ci, Co]. What does not fit `shape` is left to be told."""

    to_ours: Callable[[np.ndarray, tuple[int, ...]], np.ndarray] = lambda x, shape: x
    to_theirs: Callable[[np.ndarray], np.ndarray] = lambda x: x


def _turned(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """OIHW -> HWIO, OI -> IO, OIK -> KIO; of experts [E, OIHW in a row] -> EHWIO."""
    if len(shape) == 5 and x.ndim == 2 and x.size == np.prod(shape):
        experts, height, width, channels, features = shape
        return x.reshape(experts, features, channels, height, width).transpose(0, 3, 4, 2, 1)
    return np.moveaxis(x, (0, 1), (-1, -2)) if x.ndim > 1 else x


def _turned_back(x: np.ndarray) -> np.ndarray:
    if x.ndim == 5:
        return x.transpose(0, 4, 3, 1, 2).reshape(len(x), -1)
    return np.moveaxis(x, (-1, -2), (0, 1))


SAME = Layout()
KERNEL = Layout(_turned, _turned_back)
# A dense layer of ours that is a 1x1 convolution there.
POINTWISE = Layout(lambda x, shape: x[:, :, 0, 0].T if x.ndim == 4 else x, lambda x: x.T[..., None, None])
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

# torchvision's resnet.py.
TORCHVISION_RESNET = (
    Row("conv1", "stem/conv"),
    Row("bn1", "stem/norm"),
    Row("layer{s}.{i}.downsample.0", "stage{s}_block{i}/shortcut/conv"),
    Row("layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/norm"),
    Row("layer{s}.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
    Row("layer{s}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
    Row("fc", "head/dense"),
)

# timm's resnet.py, and what is built on it there. The first row that fits holds.
RESNET = (
    Row("conv1.0", "stem/conv1", (DeepStem,)),
    Row("conv1.1", "stem/norm1", (DeepStem,)),
    Row("conv1.3", "stem/conv2", (DeepStem,)),
    Row("conv1.4", "stem/norm2", (DeepStem,)),
    Row("conv1.6", "stem/conv3", (DeepStem,)),
    Row("bn1", "stem/norm3", (DeepStem,)),
    Row("maxpool.0", "stem/pool/conv"),
    Row("maxpool.1", "stem/pool/norm"),
    Row("layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/conv", (PooledProject,)),
    Row("layer{s}.{i}.downsample.2", "stage{s}_block{i}/shortcut/norm", (PooledProject,)),
    Row("layer{s}.{i}.convs.{p}", "stage{s}_block{i}/branch/conv2_{p}", (Bottle2neck,)),
    Row("layer{s}.{i}.bns.{p}", "stage{s}_block{i}/branch/norm2_{p}", (Bottle2neck,)),
    Row("layer{s}.{i}.conv{k}.paths.{p}.conv", "stage{s}_block{i}/branch/conv{k}/conv_{p}", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.paths.{p}.bn", "stage{s}_block{i}/branch/conv{k}/norm_{p}", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.attn.fc_reduce", "stage{s}_block{i}/branch/conv{k}/reduce", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.attn.bn", "stage{s}_block{i}/branch/conv{k}/reduce_norm", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.attn.fc_select", "stage{s}_block{i}/branch/conv{k}/select", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.conv", "stage{s}_block{i}/branch/conv{k}", SELECTIVE),
    Row("layer{s}.{i}.conv{k}.bn", "stage{s}_block{i}/branch/norm{k}", SELECTIVE),
    Row("layer{s}.{i}.se.fc{k}", "stage{s}_block{i}/attend/fc{k}", kernel=POINTWISE),
    Row("layer{s}.{i}.se.conv", "stage{s}_block{i}/attend"),
    *TORCHVISION_RESNET,
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

# timm's efficientnet.py. The first stage expands nothing, and counts its norms from there.
EFFICIENTNET = (
    Row("conv_stem", "stem/conv"),
    Row("bn1", "stem/norm"),
    Row("blocks.0.{i}.conv_dw", "stage1_block{i}/branch/conv2"),
    Row("blocks.0.{i}.bn1", "stage1_block{i}/branch/norm2"),
    Row("blocks.0.{i}.conv_pw", "stage1_block{i}/branch/conv3"),
    Row("blocks.0.{i}.bn2", "stage1_block{i}/branch/norm3"),
    Row("blocks.{t}.{i}.conv_pw", "stage{s}_block{i}/branch/conv1"),
    Row("blocks.{t}.{i}.conv_dw", "stage{s}_block{i}/branch/conv2"),
    Row("blocks.{t}.{i}.conv_pwl", "stage{s}_block{i}/branch/conv3"),
    Row("blocks.{t}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
    Row("blocks.{t}.{i}.se.conv_reduce", "stage{s}_block{i}/branch/attend/fc1", kernel=POINTWISE),
    Row("blocks.{t}.{i}.se.conv_expand", "stage{s}_block{i}/branch/attend/fc2", kernel=POINTWISE),
    Row("blocks.{t}.{i}.routing_fn", "stage{s}_block{i}/branch/routing"),
    Row("conv_head", "head/conv"),
    Row("bn2", "head/norm"),
    Row("classifier", "head/dense"),
)

TORCHVISION_EFFICIENTNET = (
    Row("features.0.0", "stem/conv"),
    Row("features.0.1", "stem/norm"),
    Row("features.1.{i}.block.0.0", "stage1_block{i}/branch/conv2"),
    Row("features.1.{i}.block.0.1", "stage1_block{i}/branch/norm2"),
    Row("features.1.{i}.block.1.fc{k}", "stage1_block{i}/branch/attend/fc{k}", kernel=POINTWISE),
    Row("features.1.{i}.block.2.0", "stage1_block{i}/branch/conv3"),
    Row("features.1.{i}.block.2.1", "stage1_block{i}/branch/norm3"),
    Row("features.{s}.{i}.block.0.0", "stage{s}_block{i}/branch/conv1"),
    Row("features.{s}.{i}.block.0.1", "stage{s}_block{i}/branch/norm1"),
    Row("features.{s}.{i}.block.1.0", "stage{s}_block{i}/branch/conv2"),
    Row("features.{s}.{i}.block.1.1", "stage{s}_block{i}/branch/norm2"),
    Row("features.{s}.{i}.block.2.fc{k}", "stage{s}_block{i}/branch/attend/fc{k}", kernel=POINTWISE),
    Row("features.{s}.{i}.block.3.0", "stage{s}_block{i}/branch/conv3"),
    Row("features.{s}.{i}.block.3.1", "stage{s}_block{i}/branch/norm3"),
    Row("features.8.0", "head/conv"),
    Row("features.8.1", "head/norm"),
    Row("classifier.1", "head/dense"),
)

# By a piece that only the nets of a table have, and whose table it is; the last is for all others.
TABLES: tuple[tuple[type | None, dict[str, tuple[Row, ...]]], ...] = (
    (NormHead, {"timm": PREACT}),
    (ConvHead, {"timm": EFFICIENTNET, "torchvision": TORCHVISION_EFFICIENTNET}),
    (AttentionPoolHead, {"timm": CLIP, "openai": OPENAI}),
    (None, {"timm": RESNET, "torchvision": TORCHVISION_RESNET}),
)

# What the libraries call the classifier.
CLASSIFIERS = frozenset(
    row.theirs for _, layouts in TABLES for rows in layouts.values() for row in rows if row.ours == "head/dense"
)

# The nets of each library, by our names: its own, or (timm, whose names ours follow) all but those of ours alone.
NETS = {
    "torchvision": "resnet(18|34|50|101|152)|resnext(50_32x4d|101_32x8d|101_64x4d)|"
    "wide_resnet(50|101)_2|efficientnet_b[0-7]",
    "timm": r"(?!cifar_|plain|skipnet)(?!.*_(v1|a|b|c)$).*",
    "openai": r".*_clip",
}


def has_net(layout: str, name: str) -> bool:
    """Whether a library has a net of this name, with these numbers."""
    return name in MODELS and re.fullmatch(NETS[layout], name) is not None


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
          ValueError: the library has no such array.
        """
        _, *module, leaf = path
        ours = "/".join(module)
        for row, pattern in self._rows:
            if match := pattern.fullmatch(ours):
                numbers = match.groupdict()
                before = {"t": int(numbers["s"]) - 1} if "s" in numbers else {}
                name = f"{row.theirs.format(**numbers, **before)}{LEAVES[leaf]}"
                return name, row.kernel if leaf == "kernel" else SAME
        raise ValueError(f"{self.layout} has no name for {ours}")


def tables(model: nn.Module) -> dict[str, tuple[Row, ...]]:
    """By layout."""
    has = set(pieces(model))
    return next(found for piece, found in TABLES if piece is None or piece in has)


@cache
def _rows(table: tuple[Row, ...], has: frozenset[Any]) -> list[tuple[Row, re.Pattern[str]]]:
    rows = [row for row in table if not row.pieces or has.intersection(row.pieces)]
    return [(row, re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(row.ours)))) for row in rows]
