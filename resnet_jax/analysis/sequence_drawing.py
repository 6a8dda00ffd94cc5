"""Pictures of series, waveforms, spectrograms and texts, and sheets of them; drawn with Pillow alone.

A picture has a light ground. Lines are drawn larger and reduced, because Pillow does not smooth them.
"""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Size = tuple[int, int]  # height and width, pixels
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

GROUND, INK, PALE, RULE = (255, 255, 255), (20, 20, 20), (150, 150, 150), (225, 225, 225)
# Okabe and Ito's colours on white, as in the figures of curves.
COLOURS: tuple[Colour, ...] = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0), (0, 0, 0),
)  # fmt: skip
LARGER = 3  # times the size in which lines are drawn
TINT = 0.6  # share of the ground in the colour of a thin line
MISSING = "\ue000"  # a letter that no font has
QUOTES = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
CAPTION, GAP = 18, 8  # pixels
# Dark to light: black, violet, red, orange, yellow.
HEAT = np.array(
    [(0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39),
     (252, 255, 164)], float
)  # fmt: skip


class Curves(NamedTuple):
    """What is drawn into one panel: thin examples, and thick ones on top of them. Series float [l, C] each."""

    thin: Sequence[np.ndarray]
    thick: Sequence[np.ndarray] = ()


def value_range(series: Sequence[np.ndarray]) -> tuple[float, float]:
    """Least and greatest value to show, with a margin; some outliers do not flatten the rest."""
    values = np.concatenate([np.ravel(one) for one in series])
    low, high = np.percentile(values, [0.1, 99.9]).tolist()
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def draw_curves(curves: Curves, size: Size, *, span: tuple[float, float], length: int) -> np.ndarray:
    """A panel of series over positions 0 to `length` - 1 and the values of `span`: uint8 [H, W, 3].

    Each channel has its colour; values outside of the span are at its border.
    """
    height, width = (LARGER * side for side in size)
    picture = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(picture)
    low, high = span
    if low < 0 < high:
        zero = (height - 1) * high / (high - low)
        draw.line([(0, zero), (width, zero)], fill=RULE, width=LARGER)
    for one, is_thin in [*((one, True) for one in curves.thin), *((one, False) for one in curves.thick)]:
        x = np.arange(len(one)) * (width - 1) / max(length - 1, 1)
        y = (height - 1) * np.clip((high - one) / (high - low), 0, 1)
        is_alone = not curves.thick and len(curves.thin) == 1
        for channel in range(one.shape[1]):
            colour = COLOURS[channel % len(COLOURS)]
            fill = tinted(colour) if is_thin and not is_alone else colour
            points = list(zip(x.tolist(), y[:, channel].tolist(), strict=True))
            thickness = LARGER if is_thin and not is_alone else 2 * LARGER
            if len(points) == 1:
                draw.line([points[0], (points[0][0] + thickness, points[0][1])], fill=fill, width=thickness)
            draw.line(points, fill=fill, width=thickness, joint="curve")
    return reduced(picture, size)


def tinted(colour: Colour) -> Colour:
    red, green, blue = (round(TINT * white + (1 - TINT) * x) for white, x in zip(GROUND, colour, strict=True))
    return red, green, blue


def reduced(picture: Image.Image, size: Size) -> np.ndarray:
    return np.asarray(picture.resize(size[::-1], Image.Resampling.LANCZOS))


def draw_waveform(samples: np.ndarray, size: Size) -> np.ndarray:
    """Samples float [l] as the range that each column has, scaled to the loudest: uint8 [H, W, 3].

    What is quieter than a hundredth of full scale stays small, so that silence is a line.
    """
    height, width = size[0] * LARGER, size[1]
    scale = max(float(np.abs(samples).max(initial=0)), 0.01)
    edges = np.linspace(0, len(samples), width + 1).astype(int)
    picture = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(picture)
    previous: tuple[float, float] | None = None
    for column, (first, last) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        part = samples[first : max(last, first + 1)]
        if not len(part):
            break
        top, bottom = ((1 - float(x) / scale) / 2 * (height - 1) for x in (part.max(), part.min()))
        low, high = top, bottom
        if previous is not None:  # neighbours touch: no gap in a steep line
            low, high = min(top, previous[1]), max(bottom, previous[0])
        draw.line([(column, low - LARGER / 2), (column, high + LARGER / 2)], fill=COLOURS[0])
        previous = top, bottom
    return reduced(picture, size)


def draw_spectrogram(values: np.ndarray, size: Size) -> np.ndarray:
    """float [frames, bands] as colours, low bands below, time to the right: uint8 [H, W, 3].

    The darkest is the 5th percentile, the brightest the greatest value.
    """
    low, high = float(np.percentile(values, 5)), float(values.max())
    shares = np.clip((values.T[::-1] - low) / ((high - low) or 1), 0, 1)
    steps = np.arange(len(HEAT)) / (len(HEAT) - 1)
    colours = np.stack([np.interp(shares, steps, HEAT[:, k]) for k in range(3)], -1)
    picture = Image.fromarray(colours.round().astype(np.uint8))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))


def draw_text(text: str, size: Size, *, points: int = 14) -> np.ndarray:
    """A text in lines, shortened at the end to fit: uint8 [H, W, 3]; see `drawable`."""
    height, width = size
    font = ImageFont.load_default(points)
    row, margin = round(1.3 * points), points // 2
    most = max(1, (height - margin // 2) // row)
    lines = wrapped(drawable(" ".join(text.split())), width - 2 * margin, font)
    if len(lines) > most:
        lines = [*lines[: most - 1], shortened(" ".join(lines[most - 1 : most + 1]), width - 2 * margin, font)]
    picture = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(picture)
    for place, line in enumerate(lines):
        draw.text((margin, margin // 2 + place * row + row // 2), line, fill=INK, font=font, anchor="lm")
    return np.asarray(picture)


def drawable(text: str) -> str:
    """The text in letters of Pillow's font: others without their accents, as "e" for "é", or "?"."""
    return "".join(map(_drawable, text))


@lru_cache(maxsize=2**12)
def _drawable(letter: str) -> str:
    if _has_glyph(letter):
        return letter
    plain = QUOTES.get(letter) or unicodedata.normalize("NFKD", letter)[0]
    return plain if _has_glyph(plain) else "?"


def _has_glyph(letter: str) -> bool:
    font = ImageFont.load_default(16)
    return letter.isprintable() and bytes(font.getmask(letter)) != bytes(font.getmask(MISSING))


def wrapped(text: str, width: int, font: Font) -> list[str]:
    """Lines of at most `width` pixels, broken at spaces where there are some."""
    lines, rest = [], text
    while font.getlength(rest) > width:
        low, high = 1, len(rest)
        while low < high:  # the longest beginning that fits
            middle = (low + high + 1) // 2
            low, high = (middle, high) if font.getlength(rest[:middle]) <= width else (low, middle - 1)
        first = textwrap.wrap(rest[: low + 1], low, break_on_hyphens=False)[0]
        lines.append(first)
        rest = rest[len(first) :].lstrip()
    return [*lines, rest]


def stack(pictures: Sequence[np.ndarray], gap: int = 3) -> np.ndarray:
    """Pictures of one width, one below the other."""
    rule = np.full((gap, pictures[0].shape[1], 3), RULE, np.uint8)
    parts = [part for picture in pictures for part in (picture, rule)]
    return np.concatenate(parts[:-1])


def sheet(pictures: Sequence[np.ndarray], captions: Sequence[str], *, columns: int, heading: str = "") -> np.ndarray:
    """Pictures of one size in frames, a caption below each, in rows; a heading above all: uint8 [H, W, 3]."""
    height, width = pictures[0].shape[:2]
    tile, columns = (height + CAPTION + GAP, width + GAP), min(columns, len(pictures))
    top = 2 * CAPTION if heading else GAP
    rows = math.ceil(len(pictures) / columns)
    whole = Image.new("RGB", (columns * tile[1] + GAP, top + rows * tile[0]), GROUND)
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(0.75 * CAPTION)
    draw.text((GAP, CAPTION), shortened(heading, whole.width - 2 * GAP, font), fill=INK, font=font, anchor="lm")
    for place, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
        x, y = GAP + place % columns * tile[1], top + place // columns * tile[0]
        draw.rectangle((x - 1, y - 1, x + width, y + height), outline=PALE)
        whole.paste(Image.fromarray(picture), (x, y))
        middle = y + height + CAPTION // 2 + 2
        draw.text((x, middle), shortened(text, width, font), fill=INK, font=font, anchor="lm")
    return np.asarray(whole)


def table(rows: Sequence[tuple[str, str]], *, width: int, most: int = 2) -> np.ndarray:
    """Rows of a short name and a text of at most `most` lines each: uint8 [H, width, 3].

    The first column is as wide as the longest name, and at most a quarter of all; "" everywhere: there is none.
    """
    points = 14
    font, row = ImageFont.load_default(points), round(1.3 * points)
    longest = max(math.ceil(font.getlength(drawable(name))) for name, _ in rows)
    first = min(longest + 2 * points, width // 4) if longest else 0
    parts = []
    for name, text in rows:
        lines = min(most, len(wrapped(drawable(" ".join(text.split())), width - first - points, font)))
        height = row * lines + points
        left = [draw_text(name, (height, first), points=points)] if first else []
        parts.append(np.concatenate([*left, draw_text(text, (height, width - first), points=points)], axis=1))
    return stack(parts, gap=1)


def shortened(text: str, width: int, font: Font) -> str:
    """The text in letters of the font, with "..." at its end where it is wider than `width` pixels."""
    text = drawable(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
