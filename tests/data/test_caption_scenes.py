"""Captions of composed scenes: what they mean, and which combinations no training scene has."""

import numpy as np
import pytest

from resnet_jax.data import open_dataset
from resnet_jax.data.scenes import captions
from resnet_jax.data.scenes.captions import Combination, caption_of, combinations, compose_caption_scene


def test_a_caption_may_begin_with_either_digit():
    scene = Combination((3, 7), (False, True), "x")
    assert caption_of(scene, reverse=False) == "a three left of a seven, upside down"
    assert caption_of(scene, reverse=True) == "an upside-down seven right of a three"
    assert caption_of(Combination((8, 1), (False, False), "y"), reverse=False) == "an eight above a one"


def test_every_digit_is_trained_on_at_each_place_and_held_out_pairs_are_never():
    trained, held_out = combinations(held_out=False), combinations(held_out=True)
    pairs = [{(one.digits, one.axis) for one in every} for every in (trained, held_out)]
    assert not pairs[0] & pairs[1] and len(pairs[0]) == 140 and len(pairs[1]) == 60
    assert {(place, one.digits[place], one.axis) for one in trained for place in (0, 1)} == {
        (place, digit, axis) for place in (0, 1) for digit in range(10) for axis in "xy"
    }
    assert len(held_out) >= 100
    texts = [caption_of(one, reverse=reverse) for one in trained + held_out for reverse in (False, True)]
    assert len(set(texts)) == len(texts) == 4 * 169


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_digits_lie_as_the_combination_says(axis):
    values = np.array([1, 2])
    digits = np.stack([np.zeros((8, 8)), np.ones((8, 8))])  # a one is invisible, a two a square
    for order in ((1, 2), (2, 1)):
        image = compose_caption_scene(
            Combination(order, (False, False), axis), digits, values, np.random.default_rng(0)
        )
        plain = compose_caption_scene(
            Combination((1, 1), (False, False), axis), digits, values, np.random.default_rng(0)
        )
        assert image.shape == (28, 28, 3) and image.dtype == np.uint8
        changed = np.abs(image.astype(int) - plain).sum((-1, 0 if axis == "x" else 1)) > 300
        centre = np.flatnonzero(changed).mean()
        assert centre > 13.5 if order == (1, 2) else centre < 13.5


def test_test_scenes_have_different_combinations(monkeypatch):
    monkeypatch.setitem(captions.CAPTION_SCENES, "train", 20)
    dataset = open_dataset("scenes", label_kind="caption")
    texts = {split: dataset.examples(split).labels.tolist() for split in dataset.splits}
    meanings = {
        held_out: {caption_of(one, reverse=r): one for one in combinations(held_out=held_out) for r in (False, True)}
        for held_out in (False, True)
    }
    for split, held_out in (("test", False), ("combinations", True)):
        assert len({meanings[held_out][text] for text in texts[split]}) == 100
    assert {*texts["train"]} <= {*meanings[False]} and len(texts["train"]) == 20
    assert dataset.examples("train").images.shape == (20, 28, 28, 3)
