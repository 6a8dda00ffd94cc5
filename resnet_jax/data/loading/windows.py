"""Windows of a long text as a data source, for language models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from resnet_jax.data.sources.identity import Identity, fingerprint
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.inputs.text import TextPreprocess, ended, text_of


@dataclass(frozen=True, eq=False)
class WindowSource:
    """Windows of a long text as a data source: ids int32 [l], and as label the number of first ids that are context.

    For testing (`context`): the windows of `texts.windows.token_windows`, in which each id but the first is predicted
    once. For training (`context` None): a part of up to 2 * length - 1 ids for every `length` ids of the text, from
    which a loader cuts `length` at a random place. All ids of a window but the first are predicted then.

    Raises:
      ValueError: a `length` below 2, a `context` outside 1 .. length - 1, or fewer than two ids.
    """

    ids: np.ndarray  # int32 [l], of the whole text
    length: int
    context: int | None
    classes: tuple[str, ...]  # the tokens of the vocabulary
    file: str

    def __post_init__(self) -> None:
        if self.length < 2:
            raise ValueError(f"length: expected windows of at least 2 ids, got {self.length}")
        if self.context is not None and not 1 <= self.context < self.length:
            expected = f"1 to {self.length - 1}, below the length of a window"
            raise ValueError(f"context: expected {expected}, got {self.context}")
        if len(self.ids) < 2:
            raise ValueError(f"{self.file}: expected a text of at least two tokens, got {len(self.ids)}")

    @cached_property
    def starts(self) -> np.ndarray:
        """The first id of each window: int [n]."""
        if self.context is None:
            return np.arange(max(1, len(self.ids) // self.length)) * self.length
        return np.arange(0, max(1, len(self.ids) - self.context), self.length - self.context)

    @property
    def labels(self) -> np.ndarray:
        """int32 [n]: how many of the first ids of each window are not predicted."""
        labels = np.full(len(self), self.context or 1, np.int32)
        labels[0] = 1
        return labels

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        start = int(self.starts[index])
        stop = start + (2 * self.length - 1 if self.context is None else self.length)
        return self.ids[start:stop], 1 if index == 0 or self.context is None else self.context

    def name(self, index: int) -> str:
        start = int(self.starts[index])
        return f"{self.file}, tokens {start + 1:,} to {start + len(self[index][0]):,}"

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        fingerprints = np.array([fingerprint(self[int(i)][0]) for i in index], np.uint64)
        return Identity("contents", fingerprints, np.zeros_like(fingerprints), self.labels[index])


def open_windows(texts: DataSource, preprocess: TextPreprocess, name: str, *, context: int | None) -> WindowSource:
    """The windows of all texts of a source, one after the other, each with `ended`'s line end.

    Args:
      preprocess: of a language model.
      name: of the whole text, in messages.
      context: see `WindowSource`; None: for training.

    Raises:
      ValueError: fewer than two tokens, or an impossible context. `DataError` for a text that is not UTF-8.
    """
    whole = "".join(ended(text_of(texts[i][0], texts.name(i))) for i in range(len(texts)))
    length, classes = preprocess.window or 0, preprocess.tokenizer.vocabulary.tokens
    return WindowSource(preprocess.read(whole, name), length, context, classes, name)
