"""Label maps and masks: resized without mixing classes."""

from __future__ import annotations

import numpy as np


def resize_labels(labels: np.ndarray, size: tuple[int, int], *, centers: bool = False) -> np.ndarray:
    """Label maps or masks [..., H, W] with the nearest value for each pixel of `size`: [..., *size].

    Args:
      centers: take the value at the pixel's centre, as Pillow and torchvision's reference training of segmentation do;
        else at its top left corner, as torch's `interpolate(mode="nearest")` and torchvision's detectors do.
    """
    rows, columns = (_nearest(old, new, centers) for old, new in zip(labels.shape[-2:], size, strict=True))
    return labels[..., rows[:, None], columns]


def enlarge_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A label map, uint8 [H, W], at a larger `size`, uint8 [*size], with smooth edges.

    Each pixel has the class with the largest share of its surroundings, of equal ones the lowest: each class's mask is
    interpolated bilinearly.
    """
    from PIL import Image  # tasks import this file, and training steps do without Pillow

    height, width = size
    result, best = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for label in np.unique(labels):
        mask = Image.fromarray(np.where(labels == label, 255, 0).astype(np.uint8))
        share = np.asarray(mask.resize((width, height), Image.Resampling.BILINEAR))
        is_more = share > best
        result[is_more], best[is_more] = label, share[is_more]
    return result


def _nearest(old: int, new: int, centers: bool) -> np.ndarray:
    """Positions, int [new], of the `old` values that are nearest."""
    if centers:
        return np.minimum(((np.arange(new) + 0.5) * (old / new)).astype(np.int64), old - 1)
    scale = np.float32(old) / np.float32(new)  # torch computes in float32
    return np.minimum((np.arange(new, dtype=np.float32) * scale).astype(np.int64), old - 1)
