"""Texts as the input of a net: ids of characters or words, int32 [N, L]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypedDict, get_args

import numpy as np

from resnet_jax.errors import DataError, described
from resnet_jax.files import expanded
from resnet_jax.inputs.protocol import BaseSequence
from resnet_jax.texts.characters import CharacterTokenizer
from resnet_jax.texts.vocabulary import END, SPECIAL, UNKNOWN, Vocabulary
from resnet_jax.texts.words import Split, WordTokenizer
from resnet_jax.types import Batch, DataKind

Tokens = Literal["characters", "words"]
# UTF-8, a text, the file of a text, or ids that were read already (windows of a long text).
TextItem = bytes | str | Path | np.ndarray
Tokenizer = CharacterTokenizer | WordTokenizer
VDCNN, OF_DATA = "vdcnn", "data"  # vocabularies by name
WINDOW = 256  # ids of a window of a language model, unless another number is asked for
UNKNOWN_ID = SPECIAL.index(UNKNOWN)  # of a token that the vocabulary lacks


class Counts(TypedDict):
    """Options of a vocabulary of texts."""

    lowercase: bool
    most: int | None
    least_count: int


@dataclass(frozen=True)
class TextPreprocess(BaseSequence):
    """Turns texts into a net's input: ids of their characters or words.

    With `fixed_length` every text has this number of ids: longer ones are cut, shorter ones padded with id 0, and the
    padding counts as part of the text (Conneau et al. 2017). Without it each text has its own length.

    `next_token`: for a language model. Texts then start with the id of a line end, if the vocabulary has one, so that
    the first token is predicted too. Training reads windows of `window` ids; no other text is cut.

    Raises:
      ValueError: a `fixed_length` below 1, or one with `next_token`; a `window` below 2, or one without `next_token`.
    """

    tokenizer: Tokenizer
    fixed_length: int | None = None
    next_token: bool = False
    window: int | None = None

    kind: ClassVar[DataKind] = "text"
    dtype: ClassVar[Any] = np.int32

    def __post_init__(self) -> None:
        if self.fixed_length is not None and self.fixed_length < 1:
            raise ValueError(f"fixed_length: expected at least 1, got {self.fixed_length}")
        if self.fixed_length is not None and self.next_token:
            raise ValueError(f"fixed_length: expected None for a language model, got {self.fixed_length}")
        if (self.window is not None) != self.next_token or (self.window or 2) < 2:
            expected = "at least 2" if self.next_token else "None without next_token"
            raise ValueError(f"window: expected {expected}, got {self.window}")

    @classmethod
    def of_texts(
        cls,
        texts: Iterable[TextItem] = (),
        *,
        tokens: Tokens = "characters",
        vocabulary: str | Path | None = None,
        lowercase: bool | None = None,
        most: int | None = None,
        least_count: int = 1,
        split: Split = "words",
        fixed_length: int | None = None,
        next_token: bool = False,
        window: int | None = None,
    ) -> Self:
        """The preprocessing for training texts.

        Args:
          texts: of the training, each read once; only a vocabulary "data" reads them.
          tokens: "characters" or "words".
          vocabulary: "vdcnn", the 69 characters of Conneau et al. 2017; "data", the tokens of `texts`; or a file that
            `Vocabulary.save` wrote. None: "vdcnn" for characters of a classifier, else "data".
          lowercase: put texts into lower case. None: with "vdcnn", whose characters have no capitals.
          most, least_count: of the vocabulary "data"; see `Vocabulary.of`.
          split: how words are split; see `WordTokenizer`.
          fixed_length, next_token, window: see `TextPreprocess`. `window` None: 256 with `next_token`.

        Raises:
          ValueError: options that do not fit each other.
          DataError: a text that is not UTF-8, or a file that is no vocabulary.
          OSError: no such file, or it cannot be read.
        """
        if tokens not in get_args(Tokens):
            raise ValueError(f"tokens: expected characters or words, got {tokens!r}")
        if vocabulary is None:
            vocabulary = VDCNN if tokens == "characters" and not next_token else OF_DATA
        if vocabulary != OF_DATA and (most is not None or least_count != 1):
            problem = f"most={most}" if most is not None else f"least_count={least_count}"
            raise ValueError(f"{problem} is for the vocabulary {OF_DATA!r}, got {str(vocabulary)!r}")
        small = vocabulary == VDCNN if lowercase is None else lowercase
        if vocabulary == VDCNN and tokens == "words":
            raise ValueError(f"vocabulary {VDCNN!r} has characters; expected {OF_DATA!r} or a file for words")
        tokenizer: Tokenizer
        if vocabulary == VDCNN:
            tokenizer = CharacterTokenizer.of_characters(lowercase=small)
        elif vocabulary != OF_DATA:
            tokenizer = _tokenizer(_vocabulary(vocabulary), tokens, small, split, next_token)
        else:
            plain = (text_of(text, f"text {number}") for number, text in enumerate(texts))
            decoded = map(ended, plain) if next_token else plain
            counts: Counts = {"lowercase": small, "most": most, "least_count": least_count}
            if tokens == "characters":
                tokenizer = CharacterTokenizer.of_texts(decoded, **counts)
            else:
                tokenizer = WordTokenizer.of_texts(decoded, split=split, ends_lines=next_token, **counts)
        return cls(tokenizer, fixed_length, next_token, WINDOW if next_token and window is None else window)

    def read(self, item: TextItem, name: str) -> np.ndarray:
        """The ids of a text, int32 [l]; of an array of ids these.

        Raises:
          DataError: not UTF-8, or no tokens (of a language model: none that can be predicted).
          OSError: a file that cannot be read.
          TypeError: another kind of object.
        """
        if isinstance(item, np.ndarray):
            ids = _checked_ids(item, name, len(self.tokenizer.vocabulary))
        else:
            ids = np.array(self._ids(text_of(item, name)), np.int32)
        if self.fixed_length is not None:
            return np.pad(ids[: self.fixed_length], (0, max(0, self.fixed_length - len(ids))))
        least = 2 if self.next_token else 1
        if len(ids) < least:
            what = "a text" if least == 1 else "a text with a token to predict"
            raise DataError(f"{name}: expected {what}, got {'one token' if len(ids) else 'no tokens'}")
        return ids

    def fit(self, example: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """What `read` returns; of a language model in training (`rng`) a random window of it."""
        if rng is None or self.window is None or len(example) <= self.window:
            return example
        start = int(rng.integers(len(example) - self.window + 1))
        return example[start : start + self.window]

    def length(self, item: TextItem, name: str) -> int:
        """The number of ids of a text; of an array of ids, from which training cuts, at most a window's.

        Raises as `read` does.
        """
        length = len(self.read(item, name))
        return min(length, self.window) if self.window is not None and isinstance(item, np.ndarray) else length

    def prepare(self, batch: Batch) -> Batch:
        """The batch as it is: of ids. With `fixed_length` the only other length is 0, of rows without a text."""
        return batch

    def spatial_shape(self, length: int) -> tuple[int, ...]:
        return (length,)

    def model_options(self) -> dict[str, Any]:
        """Options of `create_model` that follow from the texts."""
        size = len(self.tokenizer.vocabulary)
        return {"vocabulary_size": size} | ({"num_classes": size} if self.next_token else {})

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, for people; padding has none. Raises ValueError for an id outside the vocabulary."""
        return self.tokenizer.decode(ids)

    def adopt(self, trained: Self) -> Self:
        """The preprocessing `trained`, which weights were trained with, for texts and windows as long as these.

        Raises:
          ValueError: a vocabulary of another size, whose ids the weights do not have; for a language model, whose
            windows have ids already, any other tokens.
        """
        ours, theirs = self.tokenizer, trained.tokenizer
        sizes = len(ours.vocabulary), len(theirs.vocabulary)
        if sizes[0] != sizes[1] or (self.next_token and ours != theirs):
            got = f"another of {sizes[0]:,}" if sizes[0] == sizes[1] else f"one of {sizes[0]:,}"
            problem = f"data.text: expected the vocabulary of the weights, {sizes[1]:,} tokens, got {got}"
            raise ValueError(f"{problem}; `Vocabulary.save` of its preprocessing writes it for data.text.vocabulary")
        return replace(trained, fixed_length=self.fixed_length, window=self.window)

    @property
    def start(self) -> int | None:
        """Id before every text of a language model: of a line end. None: the vocabulary has none, or no such model."""
        token = "\n" if isinstance(self.tokenizer, CharacterTokenizer) else END
        return self.tokenizer.vocabulary.ids.get(token) if self.next_token else None

    def record(self) -> dict[str, Any]:
        """As checkpoints hold it: JSON, with the vocabulary."""
        tokenizer = self.tokenizer
        values: dict[str, Any] = {"kind": self.kind, "vocabulary": list(tokenizer.vocabulary.tokens)}
        values |= {"lowercase": tokenizer.lowercase, "fixed_length": self.fixed_length, "next_token": self.next_token}
        values |= {"window": self.window}
        if isinstance(tokenizer, CharacterTokenizer):
            return values | {"tokens": "characters"}
        return values | {"tokens": "words", "split": tokenizer.split, "ends_lines": tokenizer.ends_lines}

    @classmethod
    def restored(cls, record: Mapping[str, Any]) -> Self:
        """The preprocessing that `record` describes.

        Raises:
          ValueError: not the record of a preprocessing of texts.
        """
        try:
            known = Vocabulary(tuple(record["vocabulary"]))
            if (tokens := record["tokens"]) not in get_args(Tokens):
                raise ValueError(f"tokens: expected characters or words, got {tokens!r}")
            split: Split = "words" if tokens == "characters" else record["split"]
            ends_lines = tokens == "words" and record["ends_lines"]
            tokenizer = _tokenizer(known, tokens, record["lowercase"], split, ends_lines)
            return cls(tokenizer, record["fixed_length"], record["next_token"], record["window"])
        except KeyError as error:
            raise ValueError(f"record of texts: expected {error.args[0]!r}, got {', '.join(record)}") from None

    def _ids(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text)
        return ids if self.start is None else [self.start, *ids]


def _tokenizer(known: Vocabulary, tokens: Tokens, lowercase: bool, split: Split, ends_lines: bool) -> Tokenizer:
    if tokens == "characters":
        return CharacterTokenizer(known, lowercase)
    return WordTokenizer(known, lowercase, split, ends_lines)


def _vocabulary(file: str | Path) -> Vocabulary:
    """The vocabulary in a file. Raises FileNotFoundError, with what was expected, where there is none."""
    if not expanded(file).is_file():
        expected = f"{VDCNN!r}, {OF_DATA!r} or a file with a token a line"
        raise FileNotFoundError(f"no vocabulary {str(file)!r}; expected {expected}")
    return Vocabulary.load(file)


def text_of(item: bytes | str | Path | np.ndarray, name: str) -> str:
    """The text of UTF-8 bytes, of a text or of a file.

    Raises:
      DataError: not UTF-8. OSError: a file that cannot be read. TypeError: another kind of object.
    """
    if isinstance(item, str):
        return item
    if isinstance(item, Path):
        item = item.read_bytes().removeprefix(b"\xef\xbb\xbf")  # a mark that editors write
    if not isinstance(item, bytes | np.bytes_):
        expected = "a text (str, UTF-8 bytes or the Path of a file)"
        raise TypeError(f"{name}: expected {expected}, got {described(item)}")
    try:
        return item.decode("utf-8")
    except UnicodeDecodeError as error:
        got = f"{error.object[error.start]:#04x} at byte {error.start:,}"
        raise DataError(f"{name}: expected UTF-8, got {got}") from None


def ended(text: str) -> str:
    """A text for a language model: with a line end behind it, if it does not end in white space."""
    return text if text[-1:].isspace() else f"{text}\n"


def _checked_ids(ids: np.ndarray, name: str, size: int) -> np.ndarray:
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected ids int [l], got {ids.dtype} {list(ids.shape)}")
    if len(ids) and not 0 <= ids.min() <= ids.max() < size:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise DataError(f"{name}: expected ids from 0 to {size - 1}, got {wrong}")
    return ids.astype(np.int32, copy=False)
