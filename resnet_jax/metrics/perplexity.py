"""Metrics of language models, streaming: perplexity, bits per token and per character."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

BIT = math.log(2)  # nats
LARGEST = math.log(sys.float_info.max)


class PerplexityMetrics:
    """Streaming "perplexity" and "bits_per_token" of a language model; and "bits_per_character", if known, in float64.

    With H nats, the sum of -log p over all predicted tokens, they are exp(H / tokens), H / (tokens log 2) and
    H / (characters log 2). Perplexities compare models of one vocabulary. Bits per character compare all models of one
    text, if the characters of its spaces and line ends count and no token is unknown: "unknown_share" is the share of
    predicted tokens that are.
    """

    def __init__(self) -> None:
        self._nats = 0.0
        self._counts: dict[str, int] = {}  # "tokens", and what else is counted

    def update(self, nats: Any, tokens: Any, mask: Any, *, characters: Any = None, unknown: Any = None) -> None:
        """Adds examples where mask [N] is not 0.

        Args:
          nats: float [N], sum of -log p (natural logarithm) over the predicted tokens of each example.
          tokens: int [N], number of predicted tokens.
          characters: int [N], number of characters of these tokens in the text; in every update or in none.
          unknown: int [N], number of predicted tokens that are unknown; in every update or in none.

        Raises:
          ValueError: arrays of other shapes, a negative number, characters or unknown tokens in some updates alone.
        """
        rows = np.asarray(mask) != 0
        values = np.asarray(nats, np.float64)
        if values.shape != rows.shape:
            raise ValueError(f"expected nats {list(rows.shape)}, got {list(values.shape)}")
        counts = {"tokens": tokens, "characters": characters, "unknown": unknown}
        sums = {name: _sum(name, x, rows) for name, x in counts.items() if x is not None}
        if self._counts and (others := sorted(self._counts.keys() ^ sums.keys())):
            raise ValueError(f"{others[0]}: expected them in every update or in none")
        self._nats += float(values[rows].sum())
        self._counts = {name: self._counts.get(name, 0) + n for name, n in sums.items()}

    def result(self) -> dict[str, float]:
        """The metrics; an infinite perplexity is one above 1.8e308. Raises ValueError if no token was predicted."""
        if not (tokens := self._counts.get("tokens")):
            raise ValueError("expected at least one predicted token, got none")
        mean = self._nats / tokens
        values = {"perplexity": math.inf if mean > LARGEST else math.exp(mean), "bits_per_token": mean / BIT}
        if (characters := self._counts.get("characters")) is not None:
            values["bits_per_character"] = self._nats / BIT / characters if characters else math.nan
        if "unknown" in self._counts:
            values["unknown_share"] = self._counts["unknown"] / tokens
        return values


def _sum(name: str, values: Any, rows: np.ndarray) -> int:
    """Sum of int [N] over `rows`. Raises ValueError for other shapes, and for a negative number."""
    counts = np.asarray(values)
    if counts.shape != rows.shape or counts.dtype.kind not in "iu":
        raise ValueError(f"expected {name} int {list(rows.shape)}, got {counts.dtype} {list(counts.shape)}")
    counts = counts[rows]
    if counts.size and counts.min() < 0:
        raise ValueError(f"expected {name} of at least 0, got {counts.min()}")
    return int(counts.sum(dtype=np.int64))
