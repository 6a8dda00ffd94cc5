"""Images that a caller passes: paths, PIL images and arrays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.errors import described
from resnet_jax.files import expanded
from resnet_jax.images.decoding import Picture, read_image

MOST_CHANNELS = 4  # of an array: red, green, blue and alpha


def check_several(images: Any) -> None:
    """Raises TypeError or ValueError for one image where several are expected: an array's rows would be images."""
    if isinstance(images, str | Path):
        raise TypeError(f"expected a list of images, got {str(images)!r}; did you mean [{str(images)!r}]?")
    if not isinstance(images, Iterable):
        raise TypeError(f"expected a list of images, got {described(images)}; did you mean [image]?")
    shape = tuple(getattr(images, "shape", ()))
    if shape and (len(shape) < 3 or (len(shape) == 3 and shape[-1] <= MOST_CHANNELS)):
        raise ValueError(f"expected several images, got one of shape {list(shape)}; did you mean [image]?")


def read_input(image: str | Path | Picture | Any, channels: int) -> Picture:
    """An image file, a PIL image, or pixels uint8 [H, W] or [H, W, C], as a picture of 1 or 3 channels.

    Arrays of two and four channels have alpha last.

    Raises:
      TypeError: another kind of object, or an array of another type.
      ValueError: an array of another shape, or a number of channels that no picture has.
      OSError: the file cannot be opened.
      UnreadableImage: the image cannot be decoded.
    """
    if channels not in (1, 3):
        raise ValueError(f"expected a net of 1 or 3 channels, got {channels}; resize and crop its images yourself")
    if isinstance(image, str | Path):
        return read_image(expanded(image).read_bytes(), str(image), channels)
    if isinstance(image, Picture):
        return read_image(image, "image", channels)
    if not hasattr(image, "__array__") or type(image).__module__.partition(".")[0] == "torch":
        raise TypeError(f"expected an image file, a PIL image or an array uint8 [H, W, C], got {described(image)}")
    array = np.asarray(image)
    got = f"{array.dtype} {list(array.shape)}"
    if array.dtype != np.uint8:
        raise TypeError(f"expected an array uint8 [H, W, C] with values 0 to 255, got {got}")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not 1 <= array.shape[-1] <= MOST_CHANNELS or not array.size:
        hint = "; batch(images) takes several" if array.ndim == 4 else ""
        raise ValueError(f"expected an array uint8 [H, W, C] of 1 to 4 channels, got {got}{hint}")
    return read_image(array, "image", channels)
