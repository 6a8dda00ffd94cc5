"""Texts as characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from resnet_jax.errors import check_type, composed
from resnet_jax.texts.vocabulary import SPECIAL, UNKNOWN, Vocabulary

# Conneau et al. 2017, section 4.2: with padding and unknown these are 69 tokens.
VDCNN_CHARACTERS = " abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/|_#$%^&*~`+=<>()[]{}"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"  # an unknown character in a decoded text


@dataclass(frozen=True)
class CharacterTokenizer:
    """Ids of the characters of a text, which is brought into Unicode's composed form (NFC) first.

    A vocabulary of characters may hold tokens of several ("<eos>"); no text has them.
    """

    vocabulary: Vocabulary
    lowercase: bool = False  # texts are put into lower case first

    @classmethod
    def of_characters(cls, characters: str = VDCNN_CHARACTERS, *, lowercase: bool = True) -> CharacterTokenizer:
        """A tokenizer of these characters, in their order; those of Conneau et al. 2017 by default."""
        return cls(Vocabulary((*SPECIAL, *characters)), lowercase)

    @classmethod
    def of_texts(
        cls, texts: Iterable[str], *, lowercase: bool = False, most: int | None = None, least_count: int = 1
    ) -> CharacterTokenizer:
        """A tokenizer of the characters in these texts, the most frequent first; options as in `Vocabulary.of`."""
        counts = Counter[str]()
        for text in texts:
            counts.update(_characters(text, lowercase))
        return cls(Vocabulary.of(counts, most=most, least_count=least_count), lowercase)

    def encode(self, text: str) -> list[int]:
        """Id of each character. Raises TypeError for anything but a text."""
        return self.vocabulary.encode(_characters(text, self.lowercase))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, with U+FFFD for unknown characters. Raises ValueError for an id outside the vocabulary."""
        return "".join(REPLACEMENT if token == UNKNOWN else token for token in self.vocabulary.decode(ids))


def _characters(text: str, lowercase: bool) -> str:
    check_type(text, str, "a text (str)")
    return composed(text.lower() if lowercase else text)
