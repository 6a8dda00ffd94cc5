"""Composed scenes with captions: two of the shipped digits, one left of or above the other, some of them upside down.

A combination is what a caption means: both digits, how they are turned and how they lie. Three tenths of the pairs of
digits (in their order and axis) are held out: no training scene has them. Test scenes have digits of the test split;
all of their combinations differ, so that one caption is correct for each.
"""

from __future__ import annotations

from functools import cache, partial
from itertools import product
from typing import NamedTuple

import numpy as np

from resnet_jax.data.digits import open_digits
from resnet_jax.data.scenes.compose import background, draw_digit, with_noise
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.stored import LazySplit, StoredDataset

CAPTION_SCENES = {"train": 12_000, "test": 100, "combinations": 100}
SIDE = 84  # pixels of a composed scene
REDUCTION = 3  # pixels of a composed scene for one of the image, along each axis
DIGIT_SIDES = (36, 42)  # least and greatest side of an enlarged digit, pixels of a composed scene
GROUND = 0.35  # share of the light of other scenes: digits are always lighter than the ground
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TURNED = (3, 4, 7)  # digits that are no digit, and do not look the same, upside down
RELATIONS = {"x": ("left of", "right of"), "y": ("above", "below")}  # of the first digit, and of the second


class Combination(NamedTuple):
    """The meaning of a caption."""

    digits: tuple[int, int]  # the left one first, or the upper one
    turned: tuple[bool, bool]
    axis: str  # "x" or "y"

    @property
    def is_held_out(self) -> bool:
        first, second = self.digits
        return (3 * first + 7 * second + 5 * (self.axis == "y")) % 10 < 3


def open_caption_scenes() -> StoredDataset:
    """12,000 training scenes, 100 test scenes, and 100 scenes of the combinations that are held out.

    Test scenes have combinations of the training scenes. Their digits, and those of the held-out combinations, are in
    no training scene.

    Images are uint8 [28, 28, 3], labels captions, as "a three left of a seven, upside down".
    """
    splits = {split: LazySplit(count, partial(_compose_split, split)) for split, count in CAPTION_SCENES.items()}
    note = "the scenes are composed: two shipped digits each; the split 'combinations' has pairs that 'train' has not"
    return StoredDataset("scenes", splits, (note,), fixed=True)


@cache
def combinations(*, held_out: bool) -> tuple[Combination, ...]:
    """All combinations that are trained on, or those that are held out."""
    variants = [(digit, turned) for digit in range(10) for turned in (False, True) if digit in TURNED or not turned]
    every = (
        Combination((one[0], other[0]), (one[1], other[1]), axis)
        for one, other, axis in product(variants, variants, RELATIONS)
    )
    return tuple(one for one in every if one.is_held_out == held_out)


def caption_of(scene: Combination, *, reverse: bool) -> str:
    """The caption of a scene, from its first digit or (`reverse`) from its second."""
    order = (1, 0) if reverse else (0, 1)
    subject, other = (scene.digits[place] for place in order)
    subject_turned, other_turned = (scene.turned[place] for place in order)
    first = f"an upside-down {NAMES[subject]}" if subject_turned else _with_article(NAMES[subject])
    last = _with_article(NAMES[other]) + (", upside down" if other_turned else "")
    return f"{first} {RELATIONS[scene.axis][reverse]} {last}"


def compose_caption_scene(
    scene: Combination, digits: np.ndarray, values: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """An image uint8 [28, 28, 3] of a combination, with digits of float [n, 8, 8], whose values are int [n]."""
    image = GROUND * background(rng, SIDE)
    sides = rng.integers(DIGIT_SIDES[0], DIGIT_SIDES[1] + 1, 2).tolist()
    start = int(rng.integers(0, SIDE - sum(sides) + 1))
    for place, (value, turned, side) in enumerate(zip(scene.digits, scene.turned, sides, strict=True)):
        along = start if place == 0 else int(rng.integers(start + sides[0], SIDE - side + 1))
        across = int(rng.integers(0, SIDE - side + 1))
        row, column = (across, along) if scene.axis == "x" else (along, across)
        digit = digits[rng.choice(np.flatnonzero(values == value))]
        window = image[row : row + side, column : column + side]
        draw_digit(window, digit[::-1, ::-1] if turned else digit, rng)
    return with_noise(_reduced(image), rng)


def _reduced(image: np.ndarray) -> np.ndarray:
    """Means over squares of `REDUCTION` pixels a side; faster than the mean over two axes of a reshaped image."""
    shifts = product(range(REDUCTION), repeat=2)
    return np.add.reduce([image[i::REDUCTION, j::REDUCTION] for i, j in shifts]) / REDUCTION**2


def _compose_split(split: str) -> ArraySource:
    source = open_digits().examples("train" if split == "train" else "test")
    examples = [source[i] for i in range(len(source))]
    ink = np.stack([np.asarray(image)[..., 0] / 255 for image, _ in examples])
    values = np.array([label for _, label in examples])
    seed, count = list(CAPTION_SCENES).index(split), CAPTION_SCENES[split]
    rng = np.random.default_rng(seed)
    every = combinations(held_out=split == "combinations")
    chosen = rng.integers(len(every), size=count) if split == "train" else rng.permutation(len(every))[:count]
    images, captions = [], []
    for number, place in enumerate(chosen.tolist()):
        scene_rng = np.random.default_rng([seed, number])
        images.append(compose_caption_scene(every[place], ink, values, scene_rng))
        captions.append(caption_of(every[place], reverse=bool(scene_rng.integers(2))))
    name = f"scenes (captions), {split}"
    return ArraySource(np.stack(images), np.array(captions), (), name)


def _with_article(name: str) -> str:
    return f"{'an' if name == 'eight' else 'a'} {name}"
