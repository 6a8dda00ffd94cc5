"""Captions of images as tokens of a fixed length, int32 [n, T], with a start, an end and padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from resnet_jax.errors import check_type
from resnet_jax.texts.clip import CLIPTokenizer
from resnet_jax.texts.vocabulary import SPECIAL, Vocabulary
from resnet_jax.texts.words import WordTokenizer
from resnet_jax.types import Pretrained

MARKS = 2  # ids behind the words of a vocabulary: the start and the end of a caption
CLIP_VOCABULARY = 49_408  # byte pairs of CLIP's published vocabulary, with the start and the end


class CaptionOptions(NamedTuple):
    """How captions become tokens."""

    tokens: Literal["words", "clip"] = "words"  # of the training's captions; or CLIP's byte pairs
    length: int = 77


def _check_length(length: int) -> None:
    if length < 3:
        raise ValueError(f"data.captions.length: expected at least 3 (start, a word, end), got {length}")


class CaptionTokenizer(Protocol):
    """Tokens of captions. The end of a caption has the greatest id; 0 is the padding behind it."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """By which a checkpoint knows the vocabulary; (): it is a published one."""
        ...

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def length(self) -> int:
        """T. The tokens of longer captions are cut, and the last is the end."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a caption that is not cut, with start and end."""
        ...

    def __call__(self, texts: str | Sequence[str]) -> np.ndarray:
        """int32 [n, T]; one text gives [1, T]."""
        ...


@dataclass(frozen=True)
class WordCaptions:
    """Captions as words of a vocabulary, in lower case. The start and the end are the two ids behind it.

    Raises:
      ValueError: a `length` without room for a word.
    """

    vocabulary: Vocabulary
    length: int

    def __post_init__(self) -> None:
        _check_length(self.length)

    @classmethod
    def of_texts(cls, texts: Iterable[str], length: int) -> WordCaptions:
        """With the words of the training's captions."""
        return cls(WordTokenizer.of_texts(texts, lowercase=True).vocabulary, length)

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.vocabulary.tokens

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary) + MARKS

    def unknown(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Words of these texts that the vocabulary does not have, the most frequent first."""
        words = WordTokenizer.of_texts(texts, lowercase=True).vocabulary.tokens[len(SPECIAL) :]
        return tuple(word for word in words if word not in self.vocabulary.ids)

    def count(self, text: str) -> int:
        return len(WordTokenizer(self.vocabulary, lowercase=True).encode(text)) + MARKS

    def __call__(self, texts: str | Sequence[str]) -> np.ndarray:
        texts = [texts] if isinstance(texts, str) else list(texts)
        encode = WordTokenizer(self.vocabulary, lowercase=True).encode
        start, end = len(self.vocabulary), len(self.vocabulary) + 1
        rows = np.zeros((len(texts), self.length), np.int32)
        for row, text in zip(rows, texts, strict=True):
            ids = [start, *encode(text)[: self.length - 2], end]
            row[: len(ids)] = ids
        return rows


class BytePairCaptions:
    """Captions as the ids of CLIP's published vocabulary; see `texts.clip.CLIPTokenizer`.

    Raises:
      MissingExtra: ftfy or regex is not installed.
      ValueError: a `length` without room for a token.
    """

    def __init__(self, length: int) -> None:
        _check_length(length)
        self.length, self._tokenizer = length, CLIPTokenizer(length)

    @property
    def tokens(self) -> tuple[str, ...]:
        return ()

    @property
    def vocabulary_size(self) -> int:
        return CLIP_VOCABULARY

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text)) + MARKS

    def __call__(self, texts: str | Sequence[str]) -> np.ndarray:
        return self._tokenizer(texts)


def tokenizer_of(net: Pretrained) -> CaptionTokenizer:
    """The tokenizer of the texts that `net` takes: the words of its run's captions, or CLIP's byte pairs.

    Raises:
      MissingExtra: CLIP's, without ftfy or regex.
      TypeError: something else than what `load_checkpoint` or `load_pretrained` returns.
      ValueError: as `options_of`.
    """
    check_type(net, Pretrained, "a net as load_checkpoint or load_pretrained returns it")
    return caption_tokenizer((), options=options_of(net), known=net.classes or None)


def options_of(net: Pretrained) -> CaptionOptions:
    """How a net of images and texts reads captions.

    Raises:
      ValueError: it takes no texts, or its vocabulary is not known.
    """
    model: Any = net.model
    if not getattr(model, "takes_texts", False):
        raise ValueError(f"expected a net of images and texts, such as clip_resnet50, got {net.name}")
    words = net.classes or ()
    size = len(words) + MARKS if words else CLIP_VOCABULARY
    if model.vocabulary_size != size:
        expected = f"expected a vocabulary of {size:,} tokens, got {model.vocabulary_size:,}"
        if not words:
            expected += ", whose words are not known; name its run, or a file that resnet-jax convert wrote of it"
        raise ValueError(expected)
    return CaptionOptions("words" if words else "clip", model.context_length)


def caption_tokenizer(
    captions: Iterable[str], *, options: CaptionOptions, known: tuple[str, ...] | None = None
) -> CaptionTokenizer:
    """The tokenizer of the captions that are trained on, or of a net with these `known` tokens."""
    if options.tokens == "clip":
        return BytePairCaptions(options.length)
    if known is not None:
        return WordCaptions(Vocabulary(known), options.length)
    return WordCaptions.of_texts(captions, options.length)
