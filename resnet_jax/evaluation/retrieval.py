"""Images of a folder that fit a text, by CLIP's cosines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.errors import DataError
from resnet_jax.evaluation.predictions import check_number, forward_files
from resnet_jax.evaluation.zero_shot import Tokenize, text_features
from resnet_jax.types import Array, Pretrained


class Match(NamedTuple):
    """An image and its cosine with the text, from -1 to 1."""

    file: Path
    cosine: float


def retrieve(
    net: Pretrained,
    tower: Pretrained,
    tokenize: Tokenize,
    files: Sequence[Path],
    text: str,
    *,
    top: int,
    batch_size: int,
) -> tuple[list[Match], dict[str, str]]:
    """The `top` images with the greatest cosines, in falling order, and why others could not be read, by file.

    Images without a cosine (NaN) come last.

    Args:
      net: a CLIP.
      tower: its image tower, whose logits are the features; its norms may be folded.

    Raises:
      ValueError: a number below 1 or above a million.
      DataError: no image could be read.
    """
    check_number("top", top)
    query = text_features(net, tokenize, [text])[0]

    def features(outputs: Any) -> dict[str, Array]:
        return {"features": ops.l2_normalize(jnp.asarray(outputs.logits))}

    retrieved: list[Match] = []
    unreadable: dict[str, str] = {}
    for one in forward_files(tower, features, files, batch_size=batch_size):
        if one.rows is None:
            unreadable[str(one.file)] = str(one.error)
        else:
            retrieved.append(Match(one.file, float(one.rows["features"] @ query)))
    if not retrieved:
        raise DataError(f"none of {len(files)} images could be read; {next(iter(unreadable.values()))}")
    return sorted(retrieved, key=lambda one: (math.isnan(one.cosine), -one.cosine))[:top], unreadable


def image_tower(net: Pretrained) -> Pretrained:
    """The image tower of a CLIP as a net of its own, whose logits are the image features."""
    model: Any = net.model
    variables = {name: tree["image_tower"] for name, tree in net.variables.items()}
    return net._replace(model=model.image_tower, variables=variables)
