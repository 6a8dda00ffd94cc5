"""Masks of detections, from the frames of their boxes into an image; on the host, where no size is compiled."""

from __future__ import annotations

import numpy as np

from resnet_jax.images.rle import RLE, encode_part

THRESHOLD = 0.5  # a pixel of a higher probability is on


def paste_mask(probabilities: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> RLE:
    """The mask of a detection in an image, as torchvision pastes it: bilinear, then above 0.5.

    The mask gets a border of one zero, and the corners of the box that grows with it are truncated to whole pixels.

    Args:
      probabilities: float [M, M], of the box's pixels.
      box: float [4]: x0, y0, x1, y1 in pixels of the image; it may reach beyond the image.
      size: height and width of the image.
    """
    side = len(probabilities)
    centre, half = (box[2:] + box[:2]) * 0.5, (box[2:] - box[:2]) * 0.5 * (side + 2) / side
    low, high = np.trunc(centre - half).astype(int).tolist(), np.trunc(centre + half).astype(int).tolist()
    first_column, columns = _weights(low[0], high[0], size[1], side)
    first_row, rows = _weights(low[1], high[1], size[0], side)
    values = rows @ probabilities.astype(np.float32) @ columns.T
    return encode_part(values > THRESHOLD, (first_row, first_column), size)


def _weights(low: int, high: int, length: int, side: int) -> tuple[int, np.ndarray]:
    """The first pixel in the image, and the weights of the mask's rows in each one: float32 [pixels, side]."""
    first, last = max(low, 0), min(high, length - 1)
    pixels = np.arange(first, max(last + 1, first))
    position = np.maximum((pixels - low + 0.5) * (side + 2) / max(high - low + 1, 1) - 0.5, 0)
    distance = np.abs(position[:, None] - np.arange(1, side + 1))  # the border's two rows are zero and have none
    return first, np.maximum(1 - distance, 0).astype(np.float32)
