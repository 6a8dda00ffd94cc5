"""RoIAlign, the assignment of boxes to levels of a pyramid, and the way back: pasting masks into an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.ops.iou import box_area
from resnet_jax.types import Array, at_least_float32


def assign_levels(
    boxes: Array, lowest: int, highest: int, *, canonical_size: float = 224, canonical_level: int = 4
) -> Array:
    """[..., 4] -> int32 [...]: index of each box's level, 0 for `lowest`.

    Lin et al. 2017, "Feature Pyramid Networks", equation 1: boxes of `canonical_size` squared pixels belong to
    `canonical_level`, and twice the side to the next. 1e-6 is added before rounding down, as torchvision does.
    """
    side = jnp.sqrt(box_area(boxes))
    level = jnp.floor(canonical_level + jnp.log2(side / canonical_size) + jnp.asarray(1e-6, boxes.dtype))
    return (jnp.clip(level, lowest, highest) - lowest).astype(jnp.int32)


def roi_align(
    features: Array,
    boxes: Array,
    output_size: tuple[int, int],
    *,
    scale: float = 1.0,
    sampling_ratio: int = 2,
    aligned: bool = False,
) -> Array:
    """Features of each box, averaged in bins: [N, H, W, C], [N, R, 4] -> [N, R, *output_size, C].

    He et al. 2017, "Mask R-CNN", section 3. A bin is the mean of `sampling_ratio` squared bilinear samples. No gradient
    flows into `boxes`. Boxes without area count as one feature pixel wide, unless `aligned`.

    Args:
      features: any float type; samples are weighted and added in float32 at least.
      boxes: in pixels of the canvas.
      output_size: (rows, columns) of bins.
      scale: feature pixels per pixel of the canvas, 1 / stride.
      sampling_ratio: samples along each side of a bin. 0 or less: as many as feature pixels along the bin, rounded up,
        for boxes no larger than the map; the samples of larger ones end at that number.
      aligned: shifts boxes by half a feature pixel, and lets them be smaller than one.
    """
    levels = jnp.zeros(boxes.shape[:-1], jnp.int32)
    return _roi_align([features], boxes, levels, output_size, [scale], sampling_ratio, aligned)


def multiscale_roi_align(
    features: Sequence[Array],
    boxes: Array,
    size: tuple[int, int],
    output_size: tuple[int, int],
    *,
    sampling_ratio: int = 2,
    canonical_size: float = 224,
    canonical_level: int = 4,
) -> Array:
    """`roi_align` on the level of a pyramid that each box belongs to, see `assign_levels`.

    Args:
      features: [N, H_l, W_l, C] of every level, the finest first, each half as fine as the one before.
      boxes: [N, R, 4] in pixels of the canvas.
      size: (height, width) of the canvas; the levels' scales are the powers of 2 next to feature height / height.
    """
    scales = [2.0 ** round(math.log2(x.shape[1] / size[0])) for x in features]
    lowest, highest = (round(-math.log2(scale)) for scale in (scales[0], scales[-1]))
    levels = assign_levels(boxes, lowest, highest, canonical_size=canonical_size, canonical_level=canonical_level)
    return _roi_align(features, boxes, levels, output_size, scales, sampling_ratio, aligned=False)


def _roi_align(
    features: Sequence[Array],
    boxes: Array,
    levels: Array,
    output_size: tuple[int, int],
    scales: Sequence[float],
    sampling_ratio: int,
    aligned: bool,
) -> Array:
    heights, widths = (np.asarray([x.shape[axis] for x in features], np.int32) for axis in (1, 2))
    dtype = jnp.promote_types(at_least_float32(features[0].dtype), boxes.dtype)
    boxes = lax.stop_gradient(boxes).astype(dtype) * jnp.asarray(scales, dtype)[levels][..., None]
    boxes = boxes - (0.5 if aligned else 0.0)
    rows, row_weights = _samples(boxes[..., 1], boxes[..., 3], output_size[0], sampling_ratio, aligned, heights, levels)
    columns, column_weights = _samples(
        boxes[..., 0], boxes[..., 2], output_size[1], sampling_ratio, aligned, widths, levels
    )
    flat = jnp.concatenate([x.reshape(x.shape[0], -1, x.shape[-1]) for x in features], axis=1)
    starts = np.concatenate([[0], np.cumsum(heights * widths)[:-1]]).astype(np.int32)
    offset, stride = (jnp.asarray(x, jnp.int32)[levels] for x in (starts, widths))
    rows = rows.reshape(*levels.shape, -1)
    columns = columns.reshape(*levels.shape, -1)
    places = (offset[..., None] + rows * stride[..., None])[..., :, None] + columns[..., None, :]
    images = jnp.arange(flat.shape[0])[:, None, None, None]
    samples = flat[images, places].astype(dtype)
    samples = samples.reshape(*levels.shape, *row_weights.shape[2:], *column_weights.shape[2:], -1)
    pooled = jnp.einsum(
        "nrpiqjc,nrpi,nrqj->nrpqc", samples, row_weights, column_weights, precision=lax.Precision.HIGHEST
    )
    return pooled.astype(features[0].dtype)


def _samples(
    low: Array, high: Array, bins: int, sampling_ratio: int, aligned: bool, lengths: np.ndarray, levels: Array
) -> tuple[Array, Array]:
    """Indices int32 [N, R, bins, 2 * samples] along one axis, and their weights, which add up to 1 inside the map."""
    length = jnp.asarray(lengths)[levels][..., None, None]
    extent = high - low if aligned else jnp.maximum(high - low, 1)
    bin_size = (extent / bins)[..., None, None]
    if sampling_ratio > 0:
        most, number = sampling_ratio, jnp.asarray(sampling_ratio, low.dtype)
    else:
        most, number = -(-int(lengths.max()) // bins), jnp.ceil(bin_size)
    steps = jnp.arange(most, dtype=low.dtype)
    starts = low[..., None, None] + jnp.arange(bins, dtype=low.dtype)[:, None] * bin_size
    # Empty boxes have no samples where these are counted by size.
    position = starts + (steps + 0.5) * bin_size / jnp.maximum(number, 1)
    counts = (position >= -1) & (position <= length) & (steps < number)
    weight = counts / jnp.maximum(number, 1)
    position = jnp.maximum(position, 0)
    first = jnp.minimum(position.astype(jnp.int32), length - 1)
    second = jnp.minimum(first + 1, length - 1)
    fraction = jnp.where(first >= length - 1, 0, position - first)
    indices = jnp.concatenate([first, second], axis=-1)
    return indices, jnp.concatenate([weight * (1 - fraction), weight * fraction], axis=-1)


def paste_masks(masks: Array, boxes: Array, size: tuple[int, int]) -> Array:
    """Masks in the frames of their boxes, resized into the image: [D, M, M], [D, 4] -> [D, *size].

    Bilinear; probabilities stay probabilities, and pixels outside the box are 0. As torchvision does it, with a border
    of one zero around the mask, and the box's corners truncated to whole pixels.
    """
    side = masks.shape[-1]
    centers, halves = (boxes[..., 2:] + boxes[..., :2]) * 0.5, (boxes[..., 2:] - boxes[..., :2]) * 0.5
    halves = halves * ((side + 2) / side)
    lows, highs = (jnp.trunc(x).astype(jnp.int32) for x in (centers - halves, centers + halves))
    columns, rows = (
        _paste_weights(lows[:, axis], highs[:, axis], size[1 - axis], side, masks.dtype) for axis in (0, 1)
    )
    return jnp.einsum("dyi,dij,dxj->dyx", rows, masks, columns, precision=lax.Precision.HIGHEST)


def _paste_weights(low: Array, high: Array, length: int, side: int, dtype: np.dtype) -> Array:
    """[D, length, side]: the weights of a mask's rows or columns in each pixel of the image."""
    pixels = jnp.arange(length, dtype=jnp.int32)
    is_inside = (pixels >= low[:, None]) & (pixels <= high[:, None])
    scale = (side + 2) / jnp.maximum(high - low + 1, 1).astype(dtype)
    position = jnp.maximum((pixels - low[:, None] + 0.5).astype(dtype) * scale[:, None] - 0.5, 0)
    # Triangles of width 2 around each row; the border's two rows are zero and have none.
    distance = jnp.abs(position[..., None] - jnp.arange(1, side + 1, dtype=dtype))
    return jnp.where(is_inside[..., None], jnp.maximum(1 - distance, 0), 0)
