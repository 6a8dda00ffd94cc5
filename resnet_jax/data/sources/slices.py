"""Slices of splits, as train[10%:20%], and the order they are cut from."""

from __future__ import annotations

import re

import numpy as np

SLICE = re.compile(r"([^\[\]+]+)\[(-?\d+%?)?:(-?\d+%?)?\]")  # train[10%:20%]


def spread(strata: np.ndarray) -> np.ndarray:
    """A fixed order, int [n], whose every stretch has all strata (classes) in proportion, as far as possible."""
    order = np.random.default_rng(0).permutation(len(strata))
    shuffled = strata[order]
    place = np.empty(len(strata))
    for stratum in np.unique(strata):
        members = np.flatnonzero(shuffled == stratum)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place, kind="stable")]


def slice_bounds(split: str, length: int) -> tuple[int, int]:
    """First and last + 1 of "name[a:b]", where a and b are numbers or percentages, from the end if negative.

    Raises:
      ValueError: another text.
    """
    match = SLICE.fullmatch(split)
    if not match:
        raise ValueError(
            f"split {split!r} cannot be understood; expected a form like train, train[:10%] or train[500:]"
        )

    def bound(text: str | None, otherwise: int) -> int:
        if text is None:
            return otherwise
        value = round(int(text[:-1]) * length / 100) if text.endswith("%") else int(text)
        return min(length, max(0, value + length if text.startswith("-") else value))

    return bound(match[2], 0), bound(match[3], length)
