"""Augmentation on the device. Draws are per example, keyed by its place in the global batch."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.ops import draw_per_example
from resnet_jax.types import Array, Batch


def pad_crop(images: Array, padding: int, key: Array, index: Array) -> Array:
    """Pads with zeros, then crops a window of the old size at a random place: [N, H, W, C] -> [N, H, W, C].

    He et al. 2015, section 4.2 (padding 4 at 32 pixels).
    """
    corners = draw_per_example(lambda k: jax.random.randint(k, (2,), 0, 2 * padding + 1), key, index)
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    size = images.shape[1:]
    return jax.vmap(lambda image, corner: lax.dynamic_slice(image, (corner[0], corner[1], 0), size))(padded, corners)


def flip(images: Array, key: Array, index: Array) -> Array:
    """Mirrors left and right with probability one half: [N, H, W, C] -> [N, H, W, C]."""
    flipped = draw_per_example(jax.random.bernoulli, key, index)
    return jnp.where(flipped[:, None, None, None], images[:, :, ::-1], images)


def make_augment(
    prepare: Callable[[Array], Array], *, padding: int = 0, horizontal_flip: bool = False
) -> Callable[[Batch, Array], Batch]:
    """augment(batch, key) -> batch: crops and flips the raw images, then `prepare` (a `Preprocess`) makes floats."""

    def augment(batch: Batch, key: Array) -> Batch:
        images, index = batch["image"], batch["index"]
        crop_key, flip_key = jax.random.split(key)
        if padding:
            images = pad_crop(images, padding, crop_key, index)
        if horizontal_flip:
            images = flip(images, flip_key, index)
        return {**batch, "image": prepare(images)}

    return augment
