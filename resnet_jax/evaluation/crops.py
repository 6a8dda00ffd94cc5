"""Crops of test-time augmentation: several of an image, or all of it."""

from __future__ import annotations

import numpy as np

from resnet_jax.images.crops import middle, resized
from resnet_jax.images.decoding import Picture, pixels

LONGEST = 3  # times the shorter side: of a longer image the multi-scale evaluation sees the middle


def ten_crops(image: Picture, *, resize: int, size: int, interpolation: str = "bilinear") -> list[np.ndarray]:
    """The corners and the middle of the resized image, and their mirror images: ten of uint8 [size, size, C].

    He et al. 2015, section 3.4, as torchvision has it: top left, top right, bottom left, bottom right, middle, of the
    whole image. (Krizhevsky et al. 2012 cut its middle square first.)
    """
    image = resized(image, resize, interpolation)
    right, bottom = image.width - size, image.height - size
    corners = [(x, y) for y in (0, bottom) for x in (0, right)]
    crops = [pixels(image.crop((x, y, x + size, y + size))) for x, y in corners]
    crops.append(pixels(middle(image, size, size)))
    return crops + [mirrored(crop) for crop in crops]


def whole(image: Picture, *, resize: int, interpolation: str = "bilinear", multiple: int = 32) -> np.ndarray:
    """The resized image, its longer side cropped to the middle: `resize` plus a multiple of `multiple` pixels.

    It is at most `LONGEST` times the shorter side. So photographs come in few shapes: uint8 [H, W, C].
    """
    image = resized(image, resize, interpolation)
    most = LONGEST * resize
    width, height = (resize + (min(side, most) - resize) // multiple * multiple for side in image.size)
    return pixels(middle(image, width, height))


def mirrored(image: np.ndarray) -> np.ndarray:
    """[H, W, C], left to right."""
    return image[:, ::-1]
