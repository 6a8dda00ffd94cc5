"""Composes scenes: enlarged digits of random colours on a smooth background of random colours."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

SIDE = 96  # pixels of a scene
DIGIT_SIDES = (32, 56)  # least and greatest side of an enlarged digit, pixels
DIGITS = (1, 4)  # least and greatest number of digits in a scene; fewer if one finds no place
INK = 27 / 67  # pixels with this share of ink belong to a digit; 67 divides no side, so no pixel has just this share
EDGE = (13 / 67, 34 / 67)  # pixels of an edge: with less ink they are surely background, with more surely a digit
OVERLAP = 0.15  # greatest share of the smaller of two squares that the other may cover
CONTRAST = 0.35  # least difference in grey between a digit and the background around it
NOISE = 12  # greatest change of a channel of a pixel, of 255
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


class Scene(NamedTuple):
    """Pixels and the objects on them."""

    image: np.ndarray  # uint8 [SIDE, SIDE, 3]
    owner: np.ndarray  # uint8 [SIDE, SIDE]: 0 for the background, k + 1 for a pixel of object k
    edge: np.ndarray  # bool [SIDE, SIDE]: on the edge of a stroke, where ink and ground mix
    digits: np.ndarray  # int32 [k]: position of each object's digit among the digits of the split


def compose(digits: np.ndarray, rng: np.random.Generator) -> Scene:
    """One scene of digits, float [n, 8, 8] with ink 0 to 1.

    A digit that is placed later covers earlier ones, so its pixels are its whole shape; a mask has the visible pixels.
    """
    image = background(rng)
    owner = np.zeros((SIDE, SIDE), np.uint8)
    edge = np.zeros((SIDE, SIDE), bool)
    chosen = []
    for corner in _places(rng):
        row, column, side = corner
        index = int(rng.integers(len(digits)))
        chosen.append(index)
        window = (slice(row, row + side), slice(column, column + side))
        ink = draw_digit(image[window], digits[index], rng)
        owner[window][ink >= INK] = len(chosen)
        edge[window] = np.where(ink < EDGE[0], edge[window], ink < EDGE[1])
    return Scene(with_noise(image, rng), owner, edge, np.array(chosen, np.int32))


def draw_digit(window: np.ndarray, digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws a digit, float [8, 8], over a square window of an image, float [s, s, 3]; returns its ink, float [s, s]."""
    enlarge = _enlarger(len(window))
    ink: np.ndarray = np.clip(enlarge @ digit @ enlarge.T, 0, 1)
    colour = _contrasting(window.mean((0, 1)), rng)
    window += ink[..., None] * (colour - window)
    return ink


def with_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float [H, W, 3] with values 0 to 1 as uint8, each changed by at most `NOISE`."""
    noisy = np.round(255 * image) + rng.integers(-NOISE, NOISE + 1, image.shape, np.int8)
    return noisy.clip(0, 255).astype(np.uint8)


def _places(rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Squares that overlap a little at most: (row, column, side) of each."""
    places: list[tuple[int, int, int]] = []
    count = int(rng.integers(DIGITS[0], DIGITS[1] + 1))
    for _ in range(10 * count):
        side = int(rng.integers(DIGIT_SIDES[0], DIGIT_SIDES[1] + 1))
        row, column = rng.integers(0, SIDE - side + 1, 2).tolist()
        if all(_overlap((row, column, side), place) <= OVERLAP for place in places):
            places.append((row, column, side))
        if len(places) == count:
            break
    return places


def _overlap(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    """The share of the smaller square that the other covers."""
    common = [max(0, min(a[i] + a[2], b[i] + b[2]) - max(a[i], b[i])) for i in (0, 1)]
    return common[0] * common[1] / min(a[2], b[2]) ** 2


def background(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Colours that change slowly: float [side, side, 3], four by four random ones and what lies between."""
    base = rng.uniform(0.1, 0.9, 3)
    colours = base + rng.uniform(-0.2, 0.2, (4, 4, 3))
    enlarge = _enlarger(side, 4)
    rows = (enlarge @ colours.reshape(4, -1)).reshape(side, 4, 3)  # [side, 4, 3]
    return np.matmul(enlarge, rows).clip(0, 1)


def _contrasting(ground: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random colour whose grey differs by `CONTRAST` at least from that of `ground`: float [3]."""
    while True:
        colour = rng.uniform(0, 1, 3)
        if abs((colour - ground) @ LUMA) >= CONTRAST:
            return colour


@cache
def _enlarger(side: int, before: int = 8) -> np.ndarray:
    """Bilinear interpolation from `before` to `side` pixels, half-pixel centres: float [side, before]."""
    centres = ((np.arange(side) + 0.5) * before / side - 0.5).clip(0, before - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(before)))
