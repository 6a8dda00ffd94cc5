"""Shared types, and the key to the shapes in every docstring.

N images, H x W pixels, C channels (Ci in, Co out), K classes, D devices. Images are [N, H, W, C].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Batch = Mapping[str, Any]  # image [N, H, W, C], label int [N] or float [N, K], mask float [N] (0: padding)
Variables = dict[str, Any]  # {"params": ..., "batch_stats": ...}; no "batch_stats" in a net without BatchNorm
Metrics = dict[str, Array]  # float32 sums over examples, and their "count": divide last


def at_least_float32(dtype: Any) -> Any:
    """The type that statistics, pooled features and logits have beside arithmetic of `dtype`."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype


@dataclass(frozen=True)
class Preprocess:
    """What stands between an image file and the net: resize, centre crop, scale to [0, 1], normalise per channel."""

    image_size: int  # side of the square crop, pixels
    resize: int  # the shorter side before the crop, pixels
    mean: tuple[float, ...]  # one per channel, of values in [0, 1]
    std: tuple[float, ...]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __call__(self, images: Array) -> Array:
        """Normalise on the device: uint8 [N, H, W, C], already resized and cropped -> float32 [N, H, W, C].

        Raises:
          ValueError: images of another type, rank or number of channels.
        """
        if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[-1] != len(self.mean):
            got = f"{images.dtype} {list(images.shape)}"
            raise ValueError(f"wanted images of values 0 to 255, uint8 [N, H, W, {len(self.mean)}]; got {got}")
        scale = jnp.asarray([1 / (255 * s) for s in self.std], jnp.float32)
        offset = jnp.asarray([m / s for m, s in zip(self.mean, self.std, strict=True)], jnp.float32)
        shape = (1, 1, 1, -1)
        return images.astype(jnp.float32) * scale.reshape(shape) - offset.reshape(shape)

    def undo(self, images: Array) -> Array:
        """For looking at: normalised float [N, H, W, C] -> uint8 [N, H, W, C]."""
        values = images * jnp.asarray(self.std, images.dtype).reshape(1, 1, 1, -1)
        values = values + jnp.asarray(self.mean, images.dtype).reshape(1, 1, 1, -1)
        return jnp.clip(jnp.round(values * 255), 0, 255).astype(jnp.uint8)


class Pretrained(NamedTuple):
    """A net with its trained variables (numpy arrays, so nothing is on a device yet)."""

    model: nn.Module
    variables: Variables
    preprocess: Preprocess
    name: str
