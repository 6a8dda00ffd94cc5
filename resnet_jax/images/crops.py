"""Resizing and cropping of pictures, antialiased: what evaluation and training see of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageOps

from resnet_jax.errors import did_you_mean
from resnet_jax.images.decoding import LEFT, TOP, Picture, image_size, orientation, pixels, read_image

CropMode = Literal["center", "squash", "border", "pad"]
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
TRIES = 10
JPEG = b"\xff\xd8\xff"  # the first bytes of a file; the size of a PNG is known only once it is decoded
GAP = 1  # scaled decoding: least ratio of a crop's side, once decoded, to the side that it is resized to
STRIP = 100  # times as long as wide: of a longer image evaluation sees the middle that long


def eval_crop(
    image: Picture,
    *,
    resize: int,
    size: int,
    interpolation: str = "bilinear",
    mode: CropMode = "center",
    fill: Sequence[int] = (),
) -> np.ndarray:
    """An image as evaluation sees it, resized (antialiased) and cropped: uint8 [size, size, C]; as timm.

    Args:
      mode: "center" resizes the shorter side to `resize`, "squash" both sides, whatever the shape, "border" the longer
        one. The middle is the crop; what lies outside the image is black, or with "border" `fill`. "pad": see
        `on_canvas`; `resize` is the shorter side, `size` the canvas.
      fill: a level for each channel.

    Raises:
      ValueError: an unknown mode or interpolation.
    """
    if mode == "center":
        return centre_crop(image, resize=resize, size=size, interpolation=interpolation)
    if mode == "pad":
        return on_canvas(image, shorter=resize, canvas=size, interpolation=interpolation, fill=fill)[0]
    if mode == "squash":
        shape = (resize, resize)
    elif mode == "border":
        ratio = max(side / resize for side in image.size)
        shape = (max(1, round(image.width / ratio)), max(1, round(image.height / ratio)))
    else:
        raise ValueError(f"expected a crop mode, got {mode!r}; {did_you_mean(mode, get_args(CropMode))}")
    image = image.resize(shape, resize_filter(interpolation))
    return pixels(middle(image, size, size, fill if mode == "border" else ()))


def fitted_size(height: int, width: int, *, shorter: int, canvas: int) -> tuple[int, int]:
    """Height and width of an image once it is resized for a canvas.

    Its shorter side becomes `shorter` pixels, or less if its longer side would be more than `canvas`. Rounded down as
    torchvision's `GeneralizedRCNNTransform` does, with `min_size=shorter` and `max_size=canvas`.
    """
    scale = min(shorter / min(height, width), canvas / max(height, width))
    # floor(24 * (48 / 49)) may fall one below the canvas that the longer side fills.
    return max(1, min(canvas, math.floor(height * scale))), max(1, min(canvas, math.floor(width * scale)))


def on_canvas(
    image: Picture, *, shorter: int, canvas: int, interpolation: str = "bilinear", fill: Sequence[int] = ()
) -> tuple[np.ndarray, tuple[int, int]]:
    """An image at the top left of a square canvas, uint8 [canvas, canvas, C], and its height and width there.

    It is resized by Pillow, antialiased. torchvision's detectors do not antialias: a reduced image differs from theirs,
    an enlarged one (photographs of COCO at 800 pixels) by rounding to 8 bits alone.

    Args:
      fill: a level for each channel of the padding; empty: black.
    """
    height, width = fitted_size(image.height, image.width, shorter=shorter, canvas=canvas)
    resized = pixels(image.resize((width, height), resize_filter(interpolation)))
    array = np.empty((canvas, canvas, resized.shape[-1]), np.uint8)
    array[:] = list(fill) or 0
    array[:height, :width] = resized
    return array, (height, width)


def centre_crop(image: Picture, *, resize: int, size: int, interpolation: str = "bilinear") -> np.ndarray:
    """The shorter side resized to `resize` (antialiased), then the middle: uint8 [size, size, C]; as torchvision."""
    width, height = resized_shape(image, resize)
    if max(width, height) <= STRIP * resize or size > resize:
        return pixels(middle(resized(image, resize, interpolation), size, size))
    # Resized whole, a strip can take all the memory there is: the crop's place in the image itself.
    left, top = _offset(width, size) * image.width / width, _offset(height, size) * image.height / height
    box = (left, top, left + size * image.width / width, top + size * image.height / height)
    return pixels(image.resize((size, size), resize_filter(interpolation), box))


def resized(image: Picture, resize: int, interpolation: str = "bilinear") -> Picture:
    """The shorter side is `resize` pixels then, the longer one in proportion (antialiased)."""
    short, long = sorted(image.size)
    if long > STRIP * short:  # resized whole, a strip can take all the memory there is
        cut = (long - STRIP * short) // 2
        image = ImageOps.crop(image, (cut, 0) if image.width == long else (0, cut))
    shape = resized_shape(image, resize)
    return image if shape == image.size else image.resize(shape, resize_filter(interpolation))


def shrunk(image: Picture, shorter: int, interpolation: str = "bilinear") -> Picture:
    """An image whose shorter side is at most `shorter` pixels: `resized`, or itself if it is no larger."""
    return resized(image, shorter, interpolation) if min(image.size) > shorter else image


def resized_shape(image: Picture, resize: int) -> tuple[int, int]:
    """Width and height of the image whose shorter side is `resize` pixels; as torchvision rounds."""
    other = int(resize * max(image.size) / min(image.size))
    return (resize, other) if image.width <= image.height else (other, resize)


def middle(image: Picture, width: int, height: int, fill: Sequence[int] = ()) -> Picture:
    """The middle of the image; of a smaller one all, on a ground of `fill` (empty: black)."""
    left, top = _offset(image.width, width), _offset(image.height, height)
    if image.width >= width and image.height >= height:
        return image.crop((left, top, left + width, top + height))
    ground = Image.new(image.mode, (width, height), tuple(fill) or 0)
    ground.paste(image, (-left, -top))
    return ground


def _offset(side: int, crop: int) -> int:
    """First pixel of the middle `crop` of `side`; negative if the side is smaller. Rounded as torchvision does."""
    return round((side - crop) / 2) if side >= crop else -((crop - side) // 2)


def resize_filter(interpolation: str) -> Image.Resampling:
    if interpolation not in FILTERS:
        raise ValueError(f"expected an interpolation, got {interpolation!r}; {did_you_mean(interpolation, FILTERS)}")
    return FILTERS[interpolation]


def random_resized_crop(
    image: Picture,
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
    box = random_box(image.width, image.height, rng, crop_area, ratio)
    return pixels(_resized_part(image, box, size, interpolation))


def read_random_crop(
    data: bytes | np.ndarray,
    name: str,
    channels: int | None,
    *,
    size: int,
    rng: np.random.Generator,
    crop_area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bilinear",
    is_scaled: bool = False,
) -> Picture:
    """`random_resized_crop` of an encoded image or of pixels, uint8 [H, W, C], of which only the crop is read.

    Args:
      name, channels: see `read_image`, which also lists the errors.
      is_scaled: decode a JPEG at a half, a quarter or an eighth of its size, where the crop is then still at least
        `GAP` times as large as `size`. The crop's place is the same to a fraction of a pixel, its pixels differ.
    """
    if isinstance(data, np.ndarray):
        left, top, width, height = random_box(data.shape[1], data.shape[0], rng, crop_area, ratio)
        # Copied by NumPy, while other threads run: Pillow's own copy of a part, of a mapped file too, stops them.
        part = read_image(np.ascontiguousarray(data[top : top + height, left : left + width]), name, channels)
        return part.resize((size, size), resize_filter(interpolation))
    if not is_scaled or not data.startswith(JPEG):
        image = read_image(data, name, channels)
        return _resized_part(image, random_box(*image.size, rng, crop_area, ratio), size, interpolation)
    height, width = image_size(data, name)
    box = random_box(width, height, rng, crop_area, ratio)
    scale = decoding_scale(min(box[2:]), size)
    image = read_image(data, name, channels, scale=scale)
    scale = 1 if image.size == (width, height) else scale  # a decoder may refuse
    # Stored sides are rounded up to whole decoded pixels, at the right and below, which EXIF may turn to any edge.
    beyond = (image.width * scale - width, image.height * scale - height)
    if beyond != (0, 0):
        turned = orientation(data)
        box = (box[0] + beyond[0] * (turned in LEFT), box[1] + beyond[1] * (turned in TOP), *box[2:])
    return _resized_part(image, box, size, interpolation, scale)


def decoding_scale(side: int, size: int) -> int:
    """The greatest of 8, 4, 2 and 1 at whose fraction `side` pixels are still at least `GAP * size`."""
    return next((scale for scale in (8, 4, 2) if side >= GAP * size * scale), 1)


def _resized_part(
    image: Picture, box: tuple[int, int, int, int], size: int, interpolation: str, scale: int = 1
) -> Picture:
    """The part (left, top, width, height) of an image, resized; the box is that of an image `scale` times as large."""
    left, top, right, bottom = (edge / scale for edge in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    x, y = math.floor(left), math.floor(top)
    crop = image.crop((x, y, math.ceil(right), math.ceil(bottom)))  # first: a resize with a box looks beyond its edges
    return crop.resize((size, size), resize_filter(interpolation), (left - x, top - y, right - x, bottom - y))


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
