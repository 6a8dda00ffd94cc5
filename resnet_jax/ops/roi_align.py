"""RoIAlign, and the assignment of boxes to levels of a pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.ops.iou import box_area
from resnet_jax.ops.lowering import lower
from resnet_jax.types import Array, at_least_float32


def assign_levels(
    boxes: Array, lowest: int, highest: int, *, canonical_size: float = 224, canonical_level: int = 4
) -> Array:
    """[..., 4] -> int32 [...]: index of each box's level, 0 for `lowest`.

    Lin et al. 2017, "Feature Pyramid Networks", equation 1: boxes of `canonical_size` squared pixels belong to
    `canonical_level`, and those of twice the side to the next. 1e-6 is added before rounding down, as torchvision does.
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
    flows into `boxes`. Unless `aligned`, boxes count as at least one feature pixel wide and high.

    Args:
      features: any float type; samples are weighted and added in float32 at least.
      boxes: in pixels of the canvas.
      output_size: (rows, columns) of bins.
      scale: feature pixels per pixel of the canvas, 1 / stride.
      sampling_ratio: samples along each side of a bin. 0 or less: as many as there are feature pixels along the bin,
        rounded up. The shapes do not depend on the boxes, so this computes with all of the map for each box; and a box
        that is longer than the map gets only as many samples as one of the map's length.
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
      size: (height, width) of the canvas; a level's scale is the power of 2 next to its height / the canvas's.
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
    dtype = jnp.promote_types(at_least_float32(features[0].dtype), boxes.dtype)
    boxes = lax.stop_gradient(boxes).astype(dtype) * jnp.asarray(scales, dtype)[levels][..., None]
    boxes = boxes - (0.5 if aligned else 0.0)
    heights, widths = (np.asarray([x.shape[axis] for x in features], np.int32) for axis in (1, 2))
    y, x = (
        _sample(
            boxes[..., axis], boxes[..., axis + 2], bins, jnp.asarray(lengths)[levels], sampling_ratio, most, aligned
        )
        for axis, bins, lengths, most in (
            (1, output_size[0], heights, -(-heights.max() // output_size[0])),
            (0, output_size[1], widths, -(-widths.max() // output_size[1])),
        )
    )
    pool = _pool_samples if sampling_ratio > 0 else _pool_densely
    return pool(features, levels, y, x).astype(features[0].dtype)


class _Samples(NamedTuple):
    """Samples along one axis of each box, in feature pixels inside the map."""

    position: Array  # [N, R, bins, S]
    weight: Array  # [N, R, bins, S]: 1 / number of samples in the bin; 0 more than a pixel outside the map
    last: Array  # int32 [N, R, 1, 1], index of the map's last row or column


def _sample(
    low: Array, high: Array, bins: int, length: Array, sampling_ratio: int, most: int, aligned: bool
) -> _Samples:
    extent = high - low if aligned else jnp.maximum(high - low, 1)
    bin_size = (extent / bins)[..., None, None]
    steps = jnp.arange(sampling_ratio if sampling_ratio > 0 else most, dtype=low.dtype)[None, None, None]
    number = jnp.asarray(sampling_ratio, low.dtype) if sampling_ratio > 0 else jnp.ceil(bin_size)
    starts = low[..., None, None] + jnp.arange(bins, dtype=low.dtype)[None, None, :, None] * bin_size
    # An aligned box without area has no samples where their number depends on the size.
    position = starts + (steps + 0.5) * (bin_size / jnp.maximum(number, 1))
    last = length[..., None, None] - 1
    counts = (position >= -1) & (position <= (last + 1).astype(low.dtype)) & (steps < number)
    weight = jnp.where(counts, 1 / jnp.maximum(number, 1), 0)
    return _Samples(jnp.clip(position, 0, last.astype(low.dtype)), weight, last)


def _pool_densely(features: Sequence[Array], levels: Array, y: _Samples, x: _Samples) -> Array:
    """Products with matrices of weights of all rows and columns, for any number of samples."""

    def weights(samples: _Samples, length: int) -> Array:
        rows = jnp.arange(length, dtype=samples.position.dtype)
        distance = jnp.abs(samples.position[..., None] - rows[None, None, None, None])
        return jnp.sum(jnp.maximum(1 - distance, 0) * samples.weight[..., None], axis=-2)

    total: Array | float = 0.0
    for level, maps in enumerate(features):
        rows = weights(y, maps.shape[1])
        rows = jnp.where((levels == level)[..., None, None], rows, 0)
        columns = weights(x, maps.shape[2])
        total += jnp.einsum(
            "nrph,nhwc,nrqw->nrpqc", rows, maps.astype(rows.dtype), columns, precision=lax.Precision.HIGHEST
        )
    return jnp.asarray(total)


class _Reads(NamedTuple):
    """Rows [B, P, I] or columns [B, Q, I] that each bin of each box reads, and their weights [B, P, I]."""

    place: Array  # int32; a row's plus a column's is an index of the pixels of all levels and images
    weight: Array


def _pool_samples(features: Sequence[Array], levels: Array, y: _Samples, x: _Samples) -> Array:
    images, boxes = levels.shape
    pixels = jnp.concatenate([maps.reshape(images, -1, maps.shape[-1]) for maps in features], axis=1)
    areas = np.asarray([maps.shape[1] * maps.shape[2] for maps in features])
    starts = jnp.asarray(np.cumsum(areas) - areas, jnp.int32)[levels]
    starts = starts + jnp.arange(images, dtype=jnp.int32)[:, None] * pixels.shape[1]
    stride = x.last + 1  # a row's length

    def reads(samples: _Samples, start: Array | int, step: Array | int) -> _Reads:
        first = samples.position.astype(jnp.int32)
        fraction = samples.position - first.astype(samples.position.dtype)
        place = start + step * jnp.concatenate([first, jnp.minimum(first + 1, samples.last)], axis=-1)
        weight = jnp.concatenate([samples.weight * (1 - fraction), samples.weight * fraction], axis=-1)
        return _Reads(*(part.reshape(images * boxes, *part.shape[2:]) for part in (place, weight)))

    rows, columns = reads(y, starts[..., None, None], stride), reads(x, 0, 1)
    pooled = _pool_pixels(pixels.reshape(-1, pixels.shape[-1]), rows, columns)
    return pooled.reshape(images, boxes, *pooled.shape[1:])


@jax.custom_vjp
def _pool_pixels(pixels: Array, rows: _Reads, columns: _Reads) -> Array:
    """[S, C] -> [B, P, Q, C]. One sum over reads: XLA fuses them, where one gather of all reads fills memory first."""
    total = jnp.zeros((*rows.place.shape[:2], columns.place.shape[1], pixels.shape[1]), rows.weight.dtype)
    for place, weight in _pairs(rows, columns):
        total += weight[..., None] * pixels.at[place].get(mode="promise_in_bounds").astype(total.dtype)
    return total


def _pairs(rows: _Reads, columns: _Reads) -> list[tuple[Array, Array]]:
    """Places [..., P, Q] and weights of each pair of a row's and a column's read."""
    return [
        (
            rows.place[..., :, None, i] + columns.place[..., None, :, j],
            rows.weight[..., :, None, i] * columns.weight[..., None, :, j],
        )
        for i in range(rows.place.shape[-1])
        for j in range(columns.place.shape[-1])
    ]


def _pool_forward(pixels: Array, rows: _Reads, columns: _Reads) -> tuple[Array, tuple[Array, _Reads, _Reads]]:
    return _pool_pixels(pixels, rows, columns), (pixels, rows, columns)


def _pool_backward(residuals: tuple[Array, _Reads, _Reads], gradient: Array) -> tuple[Array, None, None]:
    pixels, rows, columns = residuals
    operands = (gradient.astype(rows.weight.dtype), *rows, *columns)
    sums = jnp.zeros(pixels.shape, rows.weight.dtype)
    total = lower(_scatter, _scatter_by_box, sums, *operands)
    return total.astype(pixels.dtype), None, None


_pool_pixels.defvjp(_pool_forward, _pool_backward)


def _scatter(sums: Array, gradient: Array, *reads: Array) -> Array:
    for place, weight in _pairs(_Reads(*reads[:2]), _Reads(*reads[2:])):
        sums = sums.at[place].add(weight[..., None] * gradient)
    return sums


def _scatter_by_box(sums: Array, gradient: Array, *reads: Array) -> Array:
    """As `_scatter`, box after box: a seventh of its time on a CPU, where it fits into the cache."""

    def add_box(box: Array, sums: Array) -> Array:
        rows, columns = _Reads(*(x[box] for x in reads[:2])), _Reads(*(x[box] for x in reads[2:]))
        place = rows.place[:, None, :, None] + columns.place[None, :, None, :]
        weight = rows.weight[:, None, :, None] * columns.weight[None, :, None, :]
        return sums.at[place].add(weight[..., None] * gradient[box][:, :, None, None])

    return lax.fori_loop(0, len(gradient), add_box, sums)
