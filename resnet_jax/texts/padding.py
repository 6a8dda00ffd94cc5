"""Texts of unequal lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class PaddedTexts(NamedTuple):
    """Ids of texts in one array, and the number of ids of each."""

    tokens: np.ndarray  # int32 [N, L]; 0 behind each text
    lengths: np.ndarray  # int32 [N]


def pad_texts(texts: Sequence[Sequence[int]], length: int | None = None) -> PaddedTexts:
    """Ids of texts, padded with 0 to `length`, which cuts longer ones; None: to the longest, at least 1.

    Raises:
      ValueError: a `length` below 1, or an id that is negative or does not fit into int32.
    """
    if length is not None and length < 1:
        raise ValueError(f"length: expected at least 1, got {length}")
    size = length or max(1, *map(len, texts), 1)
    tokens, lengths = np.zeros((len(texts), size), np.int32), np.zeros(len(texts), np.int32)
    for row, ids in enumerate(texts):
        values = np.asarray(ids[:size], np.int64)
        if values.size and not 0 <= values.min() <= values.max() <= np.iinfo(np.int32).max:
            wrong = values.min() if values.min() < 0 else values.max()
            raise ValueError(f"text {row}: expected ids from 0 to {np.iinfo(np.int32).max}, got {wrong}")
        tokens[row, : len(values)] = values
        lengths[row] = len(values)
    return PaddedTexts(tokens, lengths)
