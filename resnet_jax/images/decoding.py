"""Encoded images to pixels. The only file that decodes images."""

from __future__ import annotations

import io
import re
import warnings
from contextlib import nullcontext
from importlib.util import find_spec

import numpy as np
from PIL import Image, ImageOps

from resnet_jax.errors import UnreadableImage, one_line

MAX_PIXELS = 2**27  # per image: half a gigabyte once decoded. A small file can claim to hold far more.
# Some of the formats that Pillow reads: PostScript would run a program, and some decoders are little tested.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM") + (("AVIF",) * bool(find_spec("PIL.AvifImagePlugin")))
GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N", "I")
SCALABLE = ("JPEG", "MPO")  # formats that are decoded at a half, a quarter or an eighth of their size
Picture = Image.Image
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: the tag, and its values that swap height and width
LEFT, TOP = (2, 3, 6, 7), (3, 4, 7, 8)  # its values whose left or top edge, upright, is stored as the right or lowest
MAX_SIDE = 2**16 - 1  # pixels, the longest that JPEG has: rows of more are decoded for minutes

# Pillow warns of what is refused below with the image's name, and of damage that does no harm (in EXIF).
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_image(
    data: bytes | Picture | np.ndarray,
    name: str,
    channels: int | None = None,
    *,
    upright: bool = True,
    scale: int = 1,
) -> Picture:
    """An encoded or PIL image as a viewer shows it, or pixels uint8 [H, W, C]; mode "L" (one channel) or "RGB" (three).

    EXIF orientation is applied, 16-bit values keep their high byte, transparent pixels lie on white, and of an
    animation the first frame is taken.

    Args:
      data: a PIL image is copied.
      name: what a message calls it.
      channels: 1, 3, or None: 1 for a grey image, 3 for every other.
      upright: False: as the pixels are stored, whatever the EXIF orientation is.
      scale: 2, 4 or 8: an encoded JPEG is decoded at this fraction of its size, rounded up, from fewer coefficients of
        its cosine transform, which takes less time. Other images have their size.

    Raises:
      UnreadableImage: the file is not an image, is corrupted or truncated, has more than `MAX_PIXELS` or a side above
        `MAX_SIDE`, or has float or 32-bit pixels.
    """
    if isinstance(data, np.ndarray):
        picture = Image.fromarray(data[..., 0] if data.shape[-1] == 1 else data)
        if picture.mode in ("LA", "RGBA"):
            picture = _eight_bits(picture, name, None)
        return _with_channels(picture, channels)
    if isinstance(data, bytes) and not data:
        raise UnreadableImage(f"{name}: the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) if isinstance(data, bytes) else nullcontext(data) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(f"{name}: expected at most {MAX_PIXELS:,} pixels, got {_size(image)}")
            if max(image.size) > MAX_SIDE:
                raise UnreadableImage(f"{name}: expected sides of at most {MAX_SIDE:,} pixels, got {_size(image)}")
            format = image.format
            if isinstance(data, bytes):
                if scale > 1 and format in SCALABLE:
                    image.draft(image.mode, (max(1, image.width // scale), max(1, image.height // scale)))
                image.load()  # one frame
            else:
                image = image.copy()
            if upright:
                ImageOps.exif_transpose(image, in_place=True)  # else a copy, of what may be half a gigabyte
            return _with_channels(_eight_bits(image, name, format), channels)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen types for a corrupted file
        raise UnreadableImage(f"{name}: {_problem(error)}") from None


def _problem(error: Exception) -> str:
    """What an error of Pillow means, in words."""
    if isinstance(error, Image.DecompressionBombError):
        count = re.search(r"\((\d+) pixels\)", str(error))
        return f"expected at most {MAX_PIXELS:,} pixels, got {int(count[1]):,}" if count else "has too many pixels"
    if isinstance(error, Image.UnidentifiedImageError):  # its message has the address of the bytes in memory
        return "not an image in a format that is known here"
    return f"cannot be decoded ({one_line(error)})"


def _size(image: Image.Image) -> str:
    return f"{image.width:,} x {image.height:,}"


def largest_of_16_bits(data: bytes | np.ndarray) -> int | None:
    """The largest value of an encoded image of 16 bits; None: it has others, or cannot be read."""
    if isinstance(data, np.ndarray):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if not image.mode.startswith("I") or image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                return None
            return int(np.asarray(image).max())
    except Exception:  # reported where it is served: Pillow's decoders raise a dozen kinds
        return None


def image_size(data: bytes | np.ndarray, name: str, *, upright: bool = True) -> tuple[int, int]:
    """Height and width of an image; of an encoded one only its header is read. Arguments as in `read_image`.

    Raises:
      UnreadableImage: not an image.
    """
    if isinstance(data, np.ndarray):
        return data.shape[0], data.shape[1]
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            is_turned = upright and image.getexif().get(ORIENTATION, 1) in TURNED
            return (image.width, image.height) if is_turned else (image.height, image.width)
    except Exception as error:  # as above
        raise UnreadableImage(f"{name}: {_problem(error)}") from None


def orientation(data: bytes) -> object:
    """EXIF's orientation of an encoded image that `image_size` has read: 1 to 8, or what a faulty file has there."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return image.getexif().get(ORIENTATION, 1)


def read_label_map(data: bytes, name: str) -> np.ndarray:
    """The values of an encoded mask, uint8 [H, W]: indices of a palette, or grey levels.

    Raises:
      UnreadableImage: not an image, one of colours, or one with values above 255.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise UnreadableImage(f"{name}: expected at most {MAX_PIXELS:,} pixels, got {_size(image)}")
            if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
                mode = "colours" if image.mode.startswith("RGB") else f"pixels of mode {image.mode}"
                raise UnreadableImage(f"{name}: expected a mask of grey levels or a palette, got {mode}")
            values = np.asarray(image)
    except UnreadableImage:
        raise
    except Exception as error:  # as above
        raise UnreadableImage(f"{name}: {_problem(error)}") from None
    if values.size and not 0 <= values.min() <= values.max() <= 255:
        raise UnreadableImage(f"{name}: expected classes of 0 to 254 and 255, got {values.max()}")
    return values.astype(np.uint8)


def _eight_bits(image: Image.Image, name: str, format: str | None) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImage(f"{name}: has float pixels; expected 8 or 16 bits")
    if image.mode.startswith("I"):
        if image.mode == "I" and format not in ("PNG", "PPM"):  # those have 16 bits in it
            raise UnreadableImage(f"{name}: has pixels of 32 bits; expected 8 or 16 bits")
        values = np.asarray(image)
        if values.size and not 0 <= values.min() <= values.max() < 2**16:
            raise UnreadableImage(f"{name}: has values outside 0 to 65535; expected 8 or 16 bits")
        return Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))
    grey = image.mode in GREY
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return _converted(image, "L" if grey else "RGB")


def _with_channels(image: Image.Image, channels: int | None) -> Image.Image:
    return image if channels is None else _converted(image, "L" if channels == 1 else "RGB")


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which copies an image of this mode


def pixels(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, C] of an image in mode "L" or "RGB"."""
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array
