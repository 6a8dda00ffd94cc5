"""Contact sheets: a batch as one picture, with a caption below each image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from resnet_jax.files import replaced
from resnet_jax.types import Array, Batch, LabelKind, Preprocess

SHOWN = 64  # images in a picture
LEGIBLE = 80  # least width of an image with a caption, pixels
LINE = 16  # height of a line of a caption, pixels
MOST_LINES = 5


def as_seen(
    batch: Batch,
    augment: Callable[[Batch, Array], Batch],
    key: Array,
    preprocess: Preprocess,
    classes: Sequence[str] | None = None,
    label_kind: LabelKind = "class",
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """A batch's first images as the net sees them, augmented under `key`: one picture, uint8 [H, W, 3].

    With the names of `classes` each image has its label below it, and small images are enlarged. `captions`: one for
    each image of the batch, instead of its label.
    """
    some = {name: x[:SHOWN] for name, x in batch.items()}
    some["index"] = np.arange(len(some["label"]))

    @jax.jit  # one program: operations by themselves would be compiled one by one
    def seen(batch: Batch, key: Array) -> Batch:
        augmented = augment(batch, key)
        return {**augmented, "image": preprocess.undo(augmented["image"])}

    augmented = seen(some, key)
    images = np.asarray(augmented["image"])
    if classes is None:
        return grid(images)
    times = math.ceil(LEGIBLE / images.shape[2])
    names = captions and captions[: len(images)]
    names = names or [label_text(label, classes, label_kind) for label in np.asarray(augmented["label"])]
    return grid(captioned(images.repeat(times, 1).repeat(times, 2), names), gap=4)


def captioned(images: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """uint8 [n, H, W, 1 or 3] -> uint8 [n, H', W, 3], a name below each, in as many lines as the longest needs."""
    width = images.shape[2]
    colored = np.broadcast_to(images, (*images.shape[:3], 3))
    wrapped = [_wrapped(name, width) for name in names]
    count = max(map(len, wrapped), default=1)
    captions = [
        np.concatenate([caption(line, width) for line in (*lines, *[""] * (count - len(lines)))]) for lines in wrapped
    ]
    return np.concatenate([colored, np.stack(captions)], axis=1)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of whole words that fit `width` pixels; the last of MOST_LINES has the rest."""
    font, lines = _font(LINE), [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and len(lines) < MOST_LINES and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height * 0.7)


def label_text(label: np.ndarray, classes: Sequence[str], label_kind: LabelKind = "class") -> str:
    """A label in a caption: the class of int [] or soft [K]; all classes of multi-hot [K]; the numbers of targets [T].

    For mixed images the classes with a share of a tenth or more, the larger first.
    """
    if label_kind == "targets":
        return ", ".join(f"{value:.4g}" for value in label)
    if label_kind == "multi-hot":
        chosen = np.flatnonzero(label >= 0.5).tolist()
    elif label.ndim:
        chosen = [k for k in np.argsort(-label, kind="stable")[:2].tolist() if label[k] >= 0.1]
    else:
        chosen = [int(label)]
    return " + ".join(classes[k] if is_latin(classes[k]) else f"class {k}" for k in chosen)


def is_latin(name: str) -> bool:
    """Whether Pillow's own font has all letters of a name."""
    return name.isprintable() and all(ord(letter) < 0x180 for letter in name)


def grid(images: np.ndarray, columns: int = 8, gap: int = 2) -> np.ndarray:
    """One picture of many images, row by row, `gap` black pixels apart: uint8 [n, H, W, 1 or 3] -> uint8 [H', W', 3].

    Raises:
      ValueError: not such images.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(f"expected images uint8 [n, H, W, 1 or 3], n >= 1, got {images.dtype} {list(images.shape)}")
    n, height, width, _ = images.shape
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    picture = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        picture[y : y + height, x : x + width] = image
    return picture


def caption(text: str, width: int, height: int = LINE) -> np.ndarray:
    """A line of white text on black, shortened to fit: uint8 [height, width, 3]. The font has Latin letters only."""
    font, shown = _font(height), text
    while shown and font.getlength(shown) > width:
        text = text[:-1]
        shown = f"{text}..." if text else ""
    picture = Image.new("RGB", (width, height))
    ImageDraw.Draw(picture).text((0, height // 2), shown, font=font, anchor="lm")
    return np.asarray(picture)


def write_png(file: str | Path, picture: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] to a file, which is replaced atomically; makes its folder if it is missing."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with replaced(Path(file)) as new:
        Image.fromarray(picture).save(new, "png")
