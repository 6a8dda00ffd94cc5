"""Crops of training and evaluation, which need the whole picture."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageOps

from resnet_jax.data.loading.decoding import pixels

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
STRIP = 100  # times as long as wide: of a longer image evaluation sees the middle that long
TRIES = 10


def centre_crop(image: Image.Image, *, resize: int, size: int, interpolation: str = "bilinear") -> np.ndarray:
    """The shorter side resized to `resize` (antialiased), then the middle: uint8 [size, size, C]; as torchvision."""
    return pixels(middle(resized(image, resize, interpolation), size, size))


def resized(image: Image.Image, resize: int, interpolation: str = "bilinear") -> Image.Image:
    """The shorter side is `resize` pixels then, the longer one in proportion (antialiased)."""
    short, long = sorted(image.size)
    if long > STRIP * short:  # resized whole, a strip can take all the memory there is
        cut = (long - STRIP * short) // 2
        image = ImageOps.crop(image, (cut, 0) if image.width == long else (0, cut))
        long = max(image.size)
    other = int(resize * long / short)
    width, height = (resize, other) if image.width <= image.height else (other, resize)
    if (width, height) != image.size:
        image = image.resize((width, height), FILTERS[interpolation])
    return image


def middle(image: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of an image, cropped to this size."""
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def random_resized_crop(
    image: Image.Image,
    *,
    size: int,
    rng: np.random.Generator,
    crop_area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bilinear",
) -> np.ndarray:
    """A random part of the image, resized (antialiased): uint8 [size, size, C].

    Its share of the area is uniform, its width over height log-uniform; after ten tries that do not fit, the middle
    (Szegedy et al. 2015, section 6, as in torchvision).
    """
    left, top, width, height = random_box(image.width, image.height, rng, crop_area, ratio)
    crop = image.crop((left, top, left + width, top + height))  # first: a resize with a box looks beyond its edges
    return pixels(crop.resize((size, size), FILTERS[interpolation]))


def random_box(
    width: int, height: int, rng: np.random.Generator, crop_area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """(left, top, width, height) of a random crop, pixels; see `random_resized_crop`."""
    for _ in range(TRIES):
        target = width * height * rng.uniform(*crop_area)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    w = min(width, max(1, round(height * ratio[1])))
    h = min(height, max(1, round(width / ratio[0])))
    return (width - w) // 2, (height - h) // 2, w, h
