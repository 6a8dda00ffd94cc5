"""Statistics of a data source's pixels: mean and deviation, number of channels, bit depth."""

from __future__ import annotations

import math

import numpy as np

from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.errors import DataError
from resnet_jax.images.decoding import largest_of_16_bits, read_image

SAMPLE = 500  # images by which channels and moments are judged
DEPTH_SAMPLE = 8  # images whose bit depth is checked


def pixel_moments(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 [n, H, W, C], of values in [0, 1]; 1 for a constant channel."""
    return moments_of_levels(
        np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])])
    )


def moments_of_levels(counts: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The same from the number of pixels of each level: int [C, 256]."""
    levels = np.arange(256) / 255
    shares = [count / count.sum() for count in counts]
    means = [float(share @ levels) for share in shares]
    variances = [float(share @ (levels - mean) ** 2) for share, mean in zip(shares, means, strict=True)]
    return tuple(means), tuple(math.sqrt(variance) or 1.0 for variance in variances)


def sample(length: int) -> list[int]:
    """At most 500 of `length` indices, the same each time."""
    order = np.random.default_rng(0).permutation(length)
    return [int(i) for i in np.sort(order[:SAMPLE])]


def infer_channels(source: DataSource) -> int:
    """1 if the images are grey (judged by 500 of them), else 3."""
    for i in sample(len(source)):
        try:
            if len(read_image(source[i][0], source.name(i)).getbands()) == 3:
                return 3
        except DataError:
            continue  # reported, or skipped, when it is served
    return 1


def depth_note(source: DataSource) -> str | None:
    """A note on 16-bit images with values of fewer bits, whose high byte has few levels; None: there are none.

    The first image of 8 bits ends the check, so that one image of most datasets is read.
    """
    largest = 0
    for i in np.linspace(0, len(source) - 1, min(DEPTH_SAMPLE, len(source))).astype(int):
        try:
            value = largest_of_16_bits(source[int(i)][0])
        except DataError:
            continue  # reported, or skipped, when it is served
        if value is None or value >= 2**12:
            return None
        largest = max(largest, value)
    if not largest:
        return None
    note = f"16-bit images with no value above {largest:,}: their high byte, which is what the net sees, has few levels"
    return f"{note}; multiply the values by {2**16 // (1 << largest.bit_length())} when you write the files"
