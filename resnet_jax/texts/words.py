"""Texts as words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from resnet_jax.errors import check_type, composed, one_of
from resnet_jax.texts.vocabulary import END, Vocabulary

# "words" are letters and digits, with apostrophes inside ("don't"); any other character but a space is a token of its
# own. "spaces" splits at white space alone: for corpora whose tokens are separated by spaces already.
SPLITS = {"words": re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}]\w+)*|[^\w\s]"), "spaces": re.compile(r"\S+")}
Split = Literal["words", "spaces"]


@dataclass(frozen=True)
class WordTokenizer:
    """Ids of the words of a text, which is brought into Unicode's composed form (NFC) first.

    Raises:
      ValueError: an unknown way to split; `ends_lines` and a vocabulary without "<eos>".
    """

    vocabulary: Vocabulary
    lowercase: bool = False  # texts are put into lower case first
    split: Split = "words"
    ends_lines: bool = False  # each line of a text is followed by the token "<eos>", as language models expect

    def __post_init__(self) -> None:
        _check_split(self.split)
        if self.ends_lines and END not in self.vocabulary.ids:
            known = len(self.vocabulary)
            raise ValueError(f"ends_lines: expected a vocabulary with {END!r}, got one of {known} tokens")

    @classmethod
    def of_texts(
        cls,
        texts: Iterable[str],
        *,
        lowercase: bool = False,
        split: Split = "words",
        ends_lines: bool = False,
        most: int | None = None,
        least_count: int = 1,
    ) -> WordTokenizer:
        """A tokenizer of the words in these texts, the most frequent first; options as in `Vocabulary.of`."""
        _check_split(split)
        counts = Counter[str]()
        for text in texts:
            counts.update(_words(text, lowercase, split))
        others = (END,) if ends_lines else ()
        vocabulary = Vocabulary.of(counts, most=most, least_count=least_count, others=others)
        return cls(vocabulary, lowercase, split, ends_lines)

    def encode(self, text: str) -> list[int]:
        """Id of each word. Raises TypeError for anything but a text."""
        if not self.ends_lines:
            return self.vocabulary.encode(_words(text, self.lowercase, self.split))
        check_type(text, str, "a text (str)")
        lines = text.removesuffix("\n").split("\n") if text else []
        end = self.vocabulary.ids[END]
        return [n for line in lines for n in (*self.vocabulary.encode(_words(line, self.lowercase, self.split)), end)]

    def decode(self, ids: Iterable[int]) -> str:
        """Words with spaces between them; "<eos>" ends a line. Raises ValueError for an id outside the vocabulary."""
        lines: list[list[str]] = [[]]
        for token in self.vocabulary.decode(ids):
            if token == END and self.ends_lines:
                lines.append([])
            else:
                lines[-1].append(token)
        return "\n".join(" ".join(line) for line in lines)


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split: expected {one_of(SPLITS)}, got {split!r}")


def _words(text: str, lowercase: bool, split: Split) -> list[str]:
    check_type(text, str, "a text (str)")
    return SPLITS[split].findall(composed(text.lower() if lowercase else text))
