"""Edits against all alignments of small sequences."""

import itertools
import random
from functools import cache

import pytest

from resnet_jax.metrics.edit_distance import Edits, count_edits


@cache
def alignments(reference, prediction):
    """(substitutions, deletions, insertions) of all alignments."""
    if not reference or not prediction:
        return {(0, len(reference), len(prediction))}
    differs = reference[0] != prediction[0]
    steps = {(differs, 0, 0): (1, 1), (0, 1, 0): (1, 0), (0, 0, 1): (0, 1)}
    return {
        tuple(a + b for a, b in zip(edits, rest, strict=True))
        for edits, (i, j) in steps.items()
        for rest in alignments(reference[i:], prediction[j:])
    }


@pytest.mark.parametrize(
    "reference, prediction, edits",
    [
        ("kitten", "sitting", (2, 0, 1)),
        ("saturday", "sunday", (1, 2, 0)),
        ("", "abc", (0, 0, 3)),
        ("abc", "", (0, 3, 0)),
        ("", "", (0, 0, 0)),
        ("same", "same", (0, 0, 0)),
        ("ab", "ba", (0, 1, 1)),  # not two substitutions: one item is equal
        ([1, 2, 3], (1, 3), (0, 1, 0)),
        ("the cat sat".split(), "a cat sat down".split(), (1, 0, 1)),
    ],
)
def test_known_distances(reference, prediction, edits):
    assert count_edits(reference, prediction) == Edits(*edits)
    assert count_edits(reference, prediction).errors == sum(edits)


def test_no_alignment_has_fewer_edits():
    random.seed(0)
    pairs = [("".join(random.choices("abc", k=random.randint(0, 6))) for _ in range(2)) for _ in range(80)]
    for reference, prediction in [*pairs, *itertools.product(("", "a", "ab"), repeat=2)]:
        best = min(alignments(reference, prediction), key=lambda edits: (sum(edits), edits[0]))
        assert count_edits(reference, prediction) == Edits(*best), (reference, prediction)


def test_long_sequences_are_counted_exactly():
    text = "".join(random.Random(1).choices("abcdefgh", k=3000))
    changed = text[:100] + text[103:1000] + "z" + text[1001:2000] + "yy" + text[2000:]
    assert count_edits(text, changed) == Edits(1, 3, 2)
