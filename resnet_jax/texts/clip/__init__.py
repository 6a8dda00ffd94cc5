"""CLIP's byte-pair tokenizer (Radford et al. 2021, section 2.4; Sennrich et al. 2016, algorithm 1)."""

from __future__ import annotations

import gzip
import html
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise

import numpy as np

from resnet_jax.errors import check_type
from resnet_jax.extras import extra

START, END = "<start_of_text>", "<end_of_text>"  # the last two tokens; both may stand in a text
END_OF_WORD = "</w>"
# Parts of a text that are merged each by itself: English endings, words, single digits, other signs.
PATTERN = rf"{START}|{END}|'(?:s|t|re|ve|m|ll|d)|\p{{L}}+|\p{{N}}|[^\s\p{{L}}\p{{N}}]+"


class CLIPTokenizer:
    """Texts as CLIP's ids, equal to OpenAI's and open_clip's: `tokenizer(texts)` is int32 [N, context_length].

    A text is repaired by ftfy, its HTML entities are replaced twice, spaces are joined and letters are put into lower
    case. It stands between the ids 49406 (start) and 49407 (end), with 0 behind; a longer one is cut and ends with
    49407. The ids depend on ftfy's and regex's versions of Unicode alone.

    Raises:
      MissingExtra: ftfy or regex is not installed. Without them other ids would result.
      ValueError: a context of less than 2 tokens.
    """

    def __init__(self, context_length: int = 77) -> None:
        with extra():
            import ftfy
            import regex
        if context_length < 2:
            raise ValueError(f"context_length: expected at least 2, the start and the end, got {context_length}")
        self.context_length = context_length
        self._repair, self._pattern = ftfy.fix_text, regex.compile(PATTERN, regex.IGNORECASE)
        self._ids, self._ranks = _vocabulary()
        self._ids_of_word = lru_cache(2**16)(self._merged)  # most words occur often

    @property
    def vocabulary_size(self) -> int:
        return len(self._ids)

    def __call__(self, texts: str | Sequence[str]) -> np.ndarray:
        """Ids of texts, int32 [N, context_length]; one text gives [1, context_length].

        Raises:
          TypeError: something else than texts.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        tokens = np.zeros((len(texts), self.context_length), np.int32)
        for row, text in zip(tokens, texts, strict=True):
            ids = [self._ids[START], *self.encode(text)][: self.context_length - 1]
            row[: len(ids) + 1] = *ids, self._ids[END]
        return tokens

    def encode(self, text: str) -> list[int]:
        """Ids of a text of any length, without those of start and end. Raises TypeError for anything but a text."""
        check_type(text, str, "a text (str)")
        text = html.unescape(html.unescape(self._repair(text)))
        words = self._pattern.findall(" ".join(text.split()).lower())
        return [token for word in words for token in self._ids_of_word(word)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, with a space behind each word; start, end and the padding behind the end are skipped.

        Raises:
          ValueError: an id outside the vocabulary.
        """
        symbols, data = list(self._ids), bytearray()
        for number in map(int, ids):
            if not 0 <= number < len(symbols):
                raise ValueError(f"expected ids from 0 to {len(symbols) - 1}, got {number}")
            if number == self._ids[END]:
                break
            if number != self._ids[START]:
                symbol = symbols[number].removesuffix(END_OF_WORD)
                data += bytes(_byte_letters().index(letter) for letter in symbol)
                data += b" " * symbols[number].endswith(END_OF_WORD)
        return data.decode("utf-8", errors="replace")

    def _merged(self, word: str) -> tuple[int, ...]:
        """Ids of a word: of its bytes, the neighbours of lowest rank are joined until no pair of them has a rank."""
        if word in (START, END):
            return (self._ids[word],)
        symbols = [_byte_letters()[byte] for byte in word.encode("utf-8")]
        symbols[-1] += END_OF_WORD
        while len(symbols) > 1:
            best = min(pairwise(symbols), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            symbols = _joined(symbols, best)
        return tuple(self._ids[symbol] for symbol in symbols)


def _joined(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    """The symbols with each occurrence of a pair as one, from the left."""
    joined, place = [], 0
    while place < len(symbols):
        is_pair = tuple(symbols[place : place + 2]) == pair
        joined.append("".join(pair) if is_pair else symbols[place])
        place += 1 + is_pair
    return joined


@cache
def _byte_letters() -> tuple[str, ...]:
    """A printable letter for each byte: Latin-1's where it is printable, and the letters from U+0100 on for others."""
    others = iter(range(256, 512))
    return tuple(chr(byte if _is_printable(byte) else next(others)) for byte in range(256))


def _is_printable(byte: int) -> bool:
    return 33 <= byte <= 126 or 161 <= byte <= 255 and byte != 173  # 173 is the soft hyphen


@cache
def _vocabulary() -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Id of each symbol, and rank of each pair that is merged."""
    lines = gzip.decompress(files(__package__).joinpath("merges.txt.gz").read_bytes()).decode().splitlines()
    pairs = [(first, second) for first, second in map(str.split, lines)]
    letters = sorted(_byte_letters())  # the bytes that Latin-1 prints come first, as CLIP has them
    symbols = [*letters, *(letter + END_OF_WORD for letter in letters), *map("".join, pairs), START, END]
    return {symbol: number for number, symbol in enumerate(symbols)}, {pair: n for n, pair in enumerate(pairs)}
