"""Augmentation on the device of images together with their boxes, masks and label maps.

Images lie in the upper left corner of a canvas of one size; `size` int [N, 2] is their height and width, and the rest
is padding. Random numbers are keyed by an example's index in the global batch, so any number of devices sees the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.data.augment.device import JitterStrengths, jitter_colors
from resnet_jax.data.sources.annotations import IGNORED, DenseKind
from resnet_jax.ops import sample_per_example, shard_like
from resnet_jax.ops.canvas import inside, zero_padding
from resnet_jax.types import Array, Batch


class Window(NamedTuple):
    """A resized image, a window of it, mirrored or not. All sizes are (height, width), int32 [N, 2]."""

    size: Array  # of the image
    resized: Array  # of the resized image
    corner: Array  # row and column of the window's upper left corner in the resized image
    window: Array  # of the window, which lies in the upper left corner of the new canvas
    flipped: Array  # bool [N]: whether the window is mirrored left and right


def sample_window(
    size: Array,
    canvas: tuple[int, int],
    scale_jitter: tuple[float, float] | None,
    horizontal_flip: bool,
    key: Array,
    index: Array,
) -> Window:
    """Windows of large-scale jitter (Ghiasi et al. 2021, section 3), as torchvision's ScaleJitter and FixedSizeCrop.

    The image is resized to fit the canvas times a factor uniform in `scale_jitter`, both sides rounded down; a window
    of at most the canvas is taken at a uniform place. It is mirrored with probability one half.

    Args:
      size: int [N, 2], height and width of the images.
      canvas: height and width of the canvas.
      scale_jitter: None: images keep their size and place.
    """
    n = size.shape[0]
    limits = jnp.array([canvas], jnp.int32)
    size = jnp.clip(size.astype(jnp.int32), 1, limits)
    resized, corner, flipped = size, jnp.zeros_like(size), jnp.zeros(n, bool)
    keys = jax.random.split(key, 3)
    if scale_jitter is not None:
        low, high = scale_jitter
        factor = sample_per_example(lambda k: jax.random.uniform(k, (), jnp.float32, low, high), keys[0], index)
        fit = (limits / size).min(1, keepdims=True)
        resized = jnp.maximum((size * fit * factor[:, None]).astype(jnp.int32), 1)
        place = sample_per_example(lambda k: jax.random.uniform(k, (2,)), keys[1], index)
        corner = (jnp.maximum(resized - limits, 0) * place).astype(jnp.int32)
    if horizontal_flip:
        flipped = sample_per_example(jax.random.bernoulli, keys[2], index)
    return Window(size, resized, corner, jnp.minimum(resized, limits), flipped)


def window_images(images: Array, window: Window) -> Array:
    """Windows of resized images, uint8 [N, H, W, C]; bilinear, antialiased. Padding is 0.

    Equal to torchvision's `resize`, `crop`, `pad` and `horizontal_flip`, with values rounded once.
    """
    x = images.astype(jnp.float32)
    for axis in (0, 1):
        weights = _interpolation(images.shape[1 + axis], window, axis)
        product = "nyi,nixc->nyxc" if axis == 0 else "nxj,nyjc->nyxc"
        x = jnp.einsum(product, weights, x, precision=lax.Precision.HIGHEST)
    return jnp.round(x).astype(images.dtype)


def _interpolation(length: int, window: Window, axis: int) -> Array:
    """Weights of antialiased bilinear interpolation along an axis: float32 [N, length, length], 0 for padding.

    Each new pixel is a mean of old ones under a triangle as wide as two pixels of the coarser image, cut off at edges.
    """
    size, resized = window.size[:, axis, None, None], window.resized[:, axis, None, None]
    scale = size / resized
    centre = (_positions(length, window, axis)[:, :, None] + 0.5) * scale
    places = jnp.arange(length)[None]
    pixels = places[:, None]  # [1, 1, length], of the old image
    weights = jnp.maximum(0, 1 - jnp.abs(pixels + 0.5 - centre) / jnp.maximum(scale, 1))
    weights = jnp.where((pixels < size) & (places < window.window[:, axis, None])[:, :, None], weights, 0)
    return weights / jnp.maximum(weights.sum(-1, keepdims=True), 1e-6)


def _positions(length: int, window: Window, axis: int) -> Array:
    """Rows (axis 0) or columns (axis 1) of the resized image that the canvas shows: int [N, length]."""
    place = jnp.arange(length)[None]
    if axis == 1:
        place = jnp.where(window.flipped[:, None], window.window[:, 1:] - 1 - place, place)
    return place + window.corner[:, axis, None]


def window_maps(maps: Array, window: Window, padding: int) -> Array:
    """Windows of resized label maps or masks, [N, ..., H, W]: the nearest pixel, floor(i * old / new) as in torch."""
    canvas = (maps.shape[-2], maps.shape[-1])
    places = []
    for axis, length in enumerate(canvas):
        scale = window.size[:, axis, None] / window.resized[:, axis, None]
        place = jnp.floor(_positions(length, window, axis) * scale).astype(jnp.int32)
        places.append(shard_like(jnp.clip(place, 0, window.size[:, axis, None] - 1), maps))
    nearest = jax.vmap(lambda x, rows, columns: x[..., rows, :][..., columns])(maps, *places)
    shape = (len(maps), *(1,) * (maps.ndim - 3), *canvas)
    return jnp.where(inside(window.window, canvas).reshape(shape), nearest, jnp.array(padding, maps.dtype))


def window_boxes(boxes: Array, window: Window) -> tuple[Array, Array]:
    """Boxes of the windows, cut off at their edges: [N, B, 4] -> the same, and which have an area: bool [N, B]."""
    factors = (window.resized / window.size)[:, ::-1]  # of x and y
    corner = window.corner[:, ::-1]
    x0, y0, x1, y1 = jnp.moveaxis(boxes * jnp.tile(factors, 2)[:, None] - jnp.tile(corner, 2)[:, None], -1, 0)
    height, width = window.window[:, :1], window.window[:, 1:]
    x0, x1 = jnp.clip(x0, 0, width), jnp.clip(x1, 0, width)
    y0, y1 = jnp.clip(y0, 0, height), jnp.clip(y1, 0, height)
    flipped = window.flipped[:, None]
    x0, x1 = jnp.where(flipped, width - x1, x0), jnp.where(flipped, width - x0, x1)
    return jnp.stack([x0, y0, x1, y1], -1).astype(boxes.dtype), (x1 > x0) & (y1 > y0)


def make_dense_augment(
    prepare: Callable[[Array], Array],
    label_kind: DenseKind,
    *,
    scale_jitter: tuple[float, float] | None = None,
    horizontal_flip: bool = False,
    color_jitter: JitterStrengths = (0.0, 0.0, 0.0, 0.0),
) -> Callable[[Batch, Array], Batch]:
    """augment(batch, key) -> batch: changes raw images and their labels, makes floats of images by `prepare`.

    Batches are those of `data.loading.dense`. Padding is 0 after `prepare`, and 255 (ignored) in label maps. Boxes are
    cut off at the edges of the window; one without an area gets the label -1 and zeros.

    Args:
      scale_jitter: least and greatest size of an image, as a factor of the largest that fits the canvas.
      color_jitter: see `device.jitter_colors`; padding does not count.
    """

    def augment(batch: Batch, key: Array) -> Batch:
        images, index = batch["image"], batch["index"]
        canvas = (images.shape[1], images.shape[2])
        geometry_key, color_key = jax.random.split(key)
        changes: dict[str, Array] = {"image": images, "size": batch["size"]}
        if scale_jitter is not None or horizontal_flip:
            window = sample_window(batch["size"], canvas, scale_jitter, horizontal_flip, geometry_key, index)
            window = Window(*(shard_like(x, images) for x in window))
            changes = {"image": window_images(images, window), "size": window.window}
            changes |= _window_labels(batch, window, label_kind)
        if any(color_jitter):
            changes["image"] = jitter_colors(changes["image"], color_jitter, color_key, index, changes["size"])
        changes["image"] = zero_padding(prepare(changes["image"]), changes["size"])
        return {**batch, **changes}

    return augment


def _window_labels(batch: Batch, window: Window, label_kind: DenseKind) -> dict[str, Array]:
    if label_kind == "pixels":
        return {"label": window_maps(batch["label"], window, IGNORED)}
    boxes, has_area = window_boxes(batch["boxes"], window)
    valid = has_area & (batch["label"] >= 0)
    changes = {"label": jnp.where(valid, batch["label"], -1), "boxes": jnp.where(valid[..., None], boxes, 0)}
    if "masks" in batch:
        masks = window_maps(batch["masks"], window, 0)
        changes["masks"] = jnp.where(valid[..., None, None], masks, 0)
    return changes
