"""The least number of edits that make a sequence of another (Levenshtein 1966)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

_EDIT = 2**32  # of an alignment's cost: edits * _EDIT + substitutions


class Edits(NamedTuple):
    """Edits of an alignment of a prediction with its reference."""

    substitutions: int = 0  # items of the reference that the prediction replaces
    deletions: int = 0  # items of the reference that the prediction lacks
    insertions: int = 0  # items of the prediction that the reference lacks

    @property
    def errors(self) -> int:
        """All edits: the edit distance."""
        return sum(self)


def count_edits(reference: Sequence[Hashable], prediction: Sequence[Hashable]) -> Edits:
    """The fewest edits between two sequences of n and m items: characters, words or numbers.

    Several alignments may have the fewest edits: the one with the fewest substitutions, so the most equal items,
    counts. Takes n vector operations over m items, and memory for m.
    """
    numbers: dict[Hashable, int] = {}
    codes = [
        np.array([numbers.setdefault(item, len(numbers)) for item in items], np.int64)
        for items in (reference, prediction)
    ]
    inserted = np.arange(len(prediction) + 1, dtype=np.int64) * _EDIT
    costs = inserted
    for item in codes[0]:
        aligned = np.minimum(costs[:-1] + np.where(codes[1] == item, 0, _EDIT + 1), costs[1:] + _EDIT)
        aligned = np.concatenate([costs[:1] + _EDIT, aligned])
        costs = np.minimum.accumulate(aligned - inserted) + inserted
    errors, substitutions = divmod(int(costs[-1]), _EDIT)
    surplus = len(reference) - len(prediction)  # deletions less insertions
    deletions = (errors - substitutions + surplus) // 2
    return Edits(substitutions, deletions, deletions - surplus)
