"""Pictures with boxes, masks and label maps drawn into them: legible on light and dark, small and large pictures.

Lines are bright beside dark, names stand on plates, and pictures of fewer than 480 pixels are enlarged.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from resnet_jax.analysis.contact_sheet import is_latin

ENLARGED = 480  # pictures of a smaller longer side are enlarged to about this size, pixels
DARK, LIGHT = (16, 16, 16), (255, 255, 255)
OPACITY = 0.4  # of masks and label maps
COLOURS = (
    (255, 89, 74), (58, 205, 255), (255, 211, 42), (116, 232, 96), (214, 132, 255),
    (255, 154, 46), (70, 226, 190), (255, 138, 196), (124, 150, 255), (205, 230, 70),
    (0, 140, 140), (170, 110, 40), (170, 255, 195), (140, 140, 0), (255, 216, 177),
    (150, 40, 185), (60, 95, 220), (185, 50, 50), (0, 145, 60), (250, 195, 225),
)  # fmt: skip
IGNORED = 255  # in a label map
BACKGROUNDS = ("background", "__background__")  # classes of a label map that are not coloured


class Drawn(NamedTuple):
    """Objects to draw: n boxes in pixels of the picture, float [n, 4] as x0, y0, x1, y1."""

    boxes: np.ndarray
    labels: np.ndarray  # int [n]: each class has its colour
    names: Sequence[str]
    masks: Sequence[np.ndarray] | None = None  # [H, W] of the picture each; other than 0 is on


def colour(label: int) -> tuple[int, int, int]:
    """The colour of a class: bright, and another one than those of its neighbours."""
    if label < len(COLOURS):
        return COLOURS[label]
    hue = (label * 0.6180339887) % 1  # multiples of the golden ratio spread over the circle
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.55, 0.75)[label % 2], 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_objects(picture: np.ndarray, objects: Drawn) -> np.ndarray:
    """A picture with objects, the first of them on top: uint8 [H, W, 1 or 3] -> uint8 [H', W', 3].

    Boxes have outlines and names, masks are translucent with an outline.
    """
    times = _times(picture)
    canvas = _enlarged(_coloured(picture), times)
    line = _line(canvas)
    order = range(len(objects.boxes) - 1, -1, -1)
    for i in order if objects.masks is not None else ():
        assert objects.masks is not None
        _tint(canvas, _enlarged(np.asarray(objects.masks[i], bool), times), colour(int(objects.labels[i])), line)
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    boxes = [[round(times * float(x)) for x in box] for box in objects.boxes]
    for i in order:
        _outline(draw, boxes[i], colour(int(objects.labels[i])), line)
    plates: list[tuple[int, int, int, int]] = []
    for i in range(len(boxes)):  # the first has the best place
        _plate(draw, boxes[i], _legible(objects.names[i]), colour(int(objects.labels[i])), image.size, plates)
    return np.asarray(image)


def draw_label_map(picture: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """A picture with the classes of its pixels as translucent colours, and a legend below it.

    Args:
      picture: uint8 [H, W, 1 or 3].
      labels: int [H, W]; 255 and a class "background" are not coloured.

    Returns:
      uint8 [H', W', 3].
    """
    times = _times(picture)
    canvas, labels = _enlarged(_coloured(picture), times), _enlarged(np.asarray(labels), times)
    present, counts = np.unique(labels[labels != IGNORED], return_counts=True)
    line = _line(canvas)
    entries = []
    for k, count in sorted(zip(present.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1]):
        is_background = classes[k] in BACKGROUNDS
        if not is_background:
            _tint(canvas, labels == k, colour(k), max(1, line // 2))
        share = 100 * count / labels.size
        entries.append((f"{_legible(classes[k])}: {share:.{0 if share >= 1 else 1}f}%", None if is_background else k))
    return np.concatenate([canvas, _legend(entries, canvas.shape[1], _font_size(canvas))])


def side_by_side(pictures: Sequence[np.ndarray], headings: Sequence[str]) -> np.ndarray:
    """Pictures in a row, each with a heading: uint8 [H, W, 3] of any sizes -> uint8 [H', W', 3]."""
    size = max(_font_size(picture) for picture in pictures)
    band = round(1.8 * size)
    height = max(len(picture) for picture in pictures) + band
    columns = []
    for picture, heading in zip(pictures, headings, strict=True):
        column = Image.new("RGB", (picture.shape[1], height), DARK)
        column.paste(Image.fromarray(picture), (0, band))
        ImageDraw.Draw(column).text((size // 2, band // 2), heading, fill=LIGHT, font=_font(size), anchor="lm")
        columns += [np.asarray(column), np.full((height, max(2, size // 3), 3), DARK, np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def _times(picture: np.ndarray) -> int:
    return max(1, round(ENLARGED / max(picture.shape[:2])))


def _enlarged(array: np.ndarray, times: int) -> np.ndarray:
    return array.repeat(times, 0).repeat(times, 1)


def _coloured(picture: np.ndarray) -> np.ndarray:
    return np.broadcast_to(picture, (*picture.shape[:2], 3))


def _line(canvas: np.ndarray) -> int:
    """Width of the bright part of lines, pixels: 2 at 640 pixels, 10 at 4000."""
    return max(2, round(max(canvas.shape[:2]) / 400))


def _font_size(canvas: np.ndarray) -> int:
    return max(12, round(max(canvas.shape[:2]) / 48))


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _legible(name: str) -> str:
    """The name in letters that the font has."""
    return name if is_latin(name) else "".join(x if is_latin(x) else "?" for x in name)


def _outline(draw: ImageDraw.ImageDraw, box: Sequence[int], bright: tuple[int, int, int], line: int) -> None:
    """A bright line between two dark ones."""
    edge = max(1, line // 2)
    x0, y0 = box[0], box[1]
    x1, y1 = max(box[2] - 1, x0), max(box[3] - 1, y0)
    inner = line + edge
    draw.rectangle((x0 - edge, y0 - edge, x1 + edge, y1 + edge), outline=DARK, width=inner + edge)
    draw.rectangle((x0, y0, x1, y1), outline=bright, width=line)


def _tint(canvas: np.ndarray, mask: np.ndarray, bright: tuple[int, int, int], line: int) -> None:
    """Colours a mask in place; its edge is a dark line, and a bright one inside of it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return
    edge = max(1, line // 2)
    around = edge + line  # pixels beside the mask, so that it ends at the border of the picture alone
    part = tuple(slice(max(x[0] - around, 0), x[-1] + 1 + around) for x in (rows, columns))
    area, inside = canvas[part], mask[part]
    share = round(256 * OPACITY)
    blended = (area.astype(np.uint16) * (256 - share) + np.array(bright, np.uint16) * share) >> 8
    np.copyto(area, blended.astype(np.uint8), where=inside[..., None])
    dark = _eroded(inside, edge)
    area[dark & ~_eroded(dark, line)] = bright
    area[inside & ~dark] = DARK


def _eroded(mask: np.ndarray, steps: int) -> np.ndarray:
    """The pixels with none off within `steps` pixels, in a square; the picture's border is no edge."""
    for axis in (0, 1):
        run = np.moveaxis(np.pad(mask, [(steps, steps) if i == axis else (0, 0) for i in (0, 1)], mode="edge"), axis, 0)
        length, whole = 1, 2 * steps + 1  # whether so many pixels from here on are on
        while length < whole:
            step = min(length, whole - length)
            run, length = run[:-step] & run[step:], length + step
        mask = np.moveaxis(run, 0, axis)
    return mask


def _plate(
    draw: ImageDraw.ImageDraw,
    box: Sequence[int],
    text: str,
    bright: tuple[int, int, int],
    size: tuple[int, int],
    plates: list[tuple[int, int, int, int]],
) -> None:
    """A name on a plate in the colour of its box: above it, inside of it or below, where it hides no other plate."""
    points = _font_size(np.empty((size[1], size[0]), bool))
    font, pad, edge = _font(points), max(2, points // 4), max(1, points // 12)
    width = min(math.ceil(font.getlength(text)) + 2 * pad, size[0])
    height = points + 2 * pad
    places = [
        (x, y)
        for x in (box[0], box[2] - width)
        for y in (box[1] - height, box[1], box[3] - height, box[3])
        if 0 <= y <= size[1] - height
    ] or [(box[0], min(max(box[1], 0), size[1] - height))]
    rectangles = [_within(x, y, width, height, size[0]) for x, y in places]
    free = [one for one in rectangles if not any(_overlap(one, other) for other in plates)]
    x0, y0, x1, y1 = plate = (free or rectangles)[0]
    plates.append(plate)
    draw.rectangle(plate, fill=bright, outline=DARK, width=edge)
    draw.text((x0 + pad, (y0 + y1) // 2), text, fill=_ink(bright), font=font, anchor="lm")


def _within(x: int, y: int, width: int, height: int, most: int) -> tuple[int, int, int, int]:
    x = min(max(x, 0), max(most - width, 0))
    return x, y, x + width - 1, y + height - 1


def _overlap(one: Sequence[int], other: Sequence[int]) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _ink(ground: tuple[int, int, int]) -> tuple[int, int, int]:
    """Dark or light, whichever contrasts more with the ground (its luma, ITU-R BT.601)."""
    luma = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2]
    return DARK if luma > 120 else LIGHT


def _legend(entries: Sequence[tuple[str, int | None]], width: int, size: int) -> np.ndarray:
    """Swatches with names in rows that fit the width: uint8 [H, width, 3]."""
    font, gap, row = _font(size), size, round(1.7 * size)
    places, x, y = [], gap, gap // 2
    for text, _ in entries:
        needed = size + gap // 2 + math.ceil(font.getlength(text)) + gap
        if x > gap and x + needed > width:
            x, y = gap, y + row
        places.append((x, y))
        x += needed
    image = Image.new("RGB", (width, y + row + gap // 2 if entries else gap), LIGHT)
    draw = ImageDraw.Draw(image)
    for (text, label), (x, y) in zip(entries, places, strict=True):
        fill = LIGHT if label is None else colour(label)
        draw.rectangle((x, y + row // 2 - size // 2, x + size, y + row // 2 + size // 2), fill=fill, outline=DARK)
        draw.text((x + size + gap // 2, y + row // 2), text, fill=DARK, font=font, anchor="lm")
    return np.asarray(image)
