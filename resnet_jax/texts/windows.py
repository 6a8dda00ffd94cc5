"""A long text as windows for a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from resnet_jax.texts.padding import pad_texts


class TokenWindows(NamedTuple):
    """Parts of one text, which overlap: each of its tokens but the first is predicted in one window alone."""

    tokens: np.ndarray  # int32 [N, L]; 0 behind the end of the text
    lengths: np.ndarray  # int32 [N]
    context: np.ndarray  # int32 [N]: the first tokens of a window, which are not predicted in it


def token_windows(ids: Sequence[int], length: int, *, context: int = 1) -> TokenWindows:
    """Windows of `length` ids, each of which starts with the last `context` ids of the window before.

    A larger context predicts every token from at least that many before it, and takes length / (length - context) times
    the work.

    Raises:
      ValueError: `context` outside 1 .. length - 1, or no ids.
    """
    if not 1 <= context < length:
        raise ValueError(f"context: expected 1 to {length - 1}, below the length of a window, got {context}")
    if not len(ids):
        raise ValueError("expected at least one id, got none")
    starts = range(0, max(1, len(ids) - context), length - context)
    tokens, lengths = pad_texts([ids[start : start + length] for start in starts], length)
    return TokenWindows(tokens, lengths, np.array([1] + [context] * (len(starts) - 1), np.int32))
