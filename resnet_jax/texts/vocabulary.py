"""Vocabularies: the tokens that a net knows, by id, and the file that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from resnet_jax.errors import DataError, check_type, one_of
from resnet_jax.files import expanded, replace_file

PAD, UNKNOWN, END = "<pad>", "<unk>", "<eos>"  # tokens that stand for no text, one unknown token, the end of a line
SPECIAL = (PAD, UNKNOWN)  # ids 0 and 1 of every vocabulary
ESCAPES = {"\\": "\\\\", " ": "\\s", "\t": "\\t", "\n": "\\n", "\r": "\\r"}  # in the file, whose lines are tokens
UNESCAPED = {escape[1]: token for token, escape in ESCAPES.items()}


@dataclass(frozen=True)
class Vocabulary:
    r"""Tokens by id: 0 is padding, 1 any unknown token.

    Its file is UTF-8 with a token a line, so that the line's number less 1 is the id. Spaces, tabs, line ends and
    backslashes are written \s, \t, \n, \r and \\.

    Raises:
      ValueError: `tokens` do not start with "<pad>" and "<unk>", or one is empty, not valid Unicode, or there twice.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        problem = next(_problems(self.tokens), None)
        if problem is not None:
            raise ValueError(f"vocabulary, {problem[1]}")

    @classmethod
    def of(
        cls,
        counts: Mapping[str, int],
        *,
        most: int | None = None,
        least_count: int = 1,
        others: Iterable[str] = (),
    ) -> Vocabulary:
        """The vocabulary of a corpus: its most frequent tokens first; among equals by their code points.

        Args:
          counts: how often each token occurs.
          most: number of tokens at most, with those that have no text. None: all.
          least_count: rarer tokens are unknown.
          others: tokens behind the special ones whatever their count, as "<eos>".

        Raises:
          ValueError: `most` leaves no room for a token of the corpus.
        """
        first = (*SPECIAL, *dict.fromkeys(others))
        if most is not None and most <= len(first):
            raise ValueError(f"most: expected at least {len(first) + 1}, got {most}; {len(first)} are special tokens")
        tokens = [token for token, n in counts.items() if n >= least_count and token not in first and _is_valid(token)]
        tokens.sort(key=lambda token: (-counts[token], token))
        return cls((*first, *tokens[: None if most is None else most - len(first)]))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id of each token but padding: a text that has the word "<pad>" is no shorter for it."""
        return {token: number for number, token in enumerate(self.tokens) if number}

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Id of each token; 1 for unknown ones."""
        ids, unknown = self.ids, SPECIAL.index(UNKNOWN)
        return [ids.get(token, unknown) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Token of each id; padding is skipped.

        Raises:
          ValueError: an id outside the vocabulary.
        """
        tokens = []
        for number in map(int, ids):
            if not 0 <= number < len(self.tokens):
                raise ValueError(f"expected ids from 0 to {len(self.tokens) - 1}, got {number}")
            if number:
                tokens.append(self.tokens[number])
        return tokens

    def save(self, file: str | Path) -> None:
        """Writes the vocabulary's file, atomically.

        Raises:
          OSError: it cannot be written.
        """
        replace_file(expanded(file), "".join(f"{_escaped(token)}\n" for token in self.tokens))

    @classmethod
    def load(cls, file: str | Path) -> Vocabulary:
        """The vocabulary in a file that `save` wrote, or that somebody typed.

        Raises:
          OSError: it cannot be read.
          DataError: it is no vocabulary. The message begins with its name and line.
        """
        check_type(file, (str, Path), "a vocabulary's file (str or Path)")
        path = expanded(file)
        try:
            text = path.read_bytes().decode("utf-8-sig")  # editors may write a mark at the beginning
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise DataError(f"{path}, line {line}: expected UTF-8, got byte {error.object[error.start]:#04x}") from None
        lines = text.removesuffix("\n").split("\n")
        tokens = [_unescaped(line.removesuffix("\r"), f"{path}, line {n}") for n, line in enumerate(lines, 1)]
        if problem := next(_problems(tokens), None):
            raise DataError(f"{path}, line {problem[0] + 1}: {problem[1]}")
        return cls(tuple(tokens))


def _problems(tokens: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Place and description of each token that no vocabulary can have there."""
    places: dict[str, int] = {}
    for number, expected in enumerate(SPECIAL):
        if number >= len(tokens) or tokens[number] != expected:
            got = repr(tokens[number]) if number < len(tokens) else "the end"
            yield number, f"token {number}: expected {expected!r}, got {got}"
    for number, token in enumerate(tokens):
        if not token:
            yield number, f"token {number}: expected a token, got an empty one"
        elif not _is_valid(token):
            yield number, f"token {number}: expected valid Unicode, got {token!r}"
        elif token in places:
            yield number, f"token {number}: expected each token once, got {token!r} again, which has id {places[token]}"
        places.setdefault(token, number)


def _is_valid(token: str) -> bool:
    """Whether UTF-8 can hold a token: not half of a surrogate pair."""
    return not any("\ud800" <= letter <= "\udfff" for letter in token)


def _escaped(token: str) -> str:
    return "".join(ESCAPES.get(letter, letter) for letter in token)


def _unescaped(line: str, place: str) -> str:
    """The token of a line. Raises DataError, which begins with `place`, for an unknown escape."""

    def token(escape: re.Match[str]) -> str:
        if escape[1] not in UNESCAPED:
            raise DataError(f"{place}: unknown escape {escape[0]}; expected {one_of(ESCAPES.values())}")
        return UNESCAPED[escape[1]]

    return re.sub(r"\\(.?)", token, line, flags=re.DOTALL)
