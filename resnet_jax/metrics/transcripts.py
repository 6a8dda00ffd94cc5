"""Error rates of transcripts, streaming: characters (CER) and words (WER)."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_jax.errors import composed
from resnet_jax.metrics.edit_distance import Edits, count_edits


class ErrorRate:
    """Edits per item of the reference, streaming: (substitutions + deletions + insertions) / items of all references.

    Sequences may have items of any kind. The rate is above 1 where predictions are much too long.
    """

    def __init__(self) -> None:
        self.edits = Edits()
        self.items = 0  # of all references

    def update(self, reference: Sequence, prediction: Sequence) -> None:
        """Adds one example."""
        new = count_edits(reference, prediction)
        self.edits = Edits(*(one + other for one, other in zip(self.edits, new, strict=True)))
        self.items += len(reference)

    def result(self) -> float:
        """The rate so far. Raises ValueError if all references are empty."""
        if not self.items:
            raise ValueError(
                f"expected a reference with at least one item, got none ({self.edits.insertions} predicted)"
            )
        return self.edits.errors / self.items


class TranscriptErrors:
    """Streaming "cer" and "wer" of texts.

    Characters are code points of Unicode's composed form (NFC), the spaces between words included, those around a text
    not. Words are what white space separates. Capitals and punctuation count: change them beforehand if they shall not.
    """

    def __init__(self) -> None:
        self.characters, self.words = ErrorRate(), ErrorRate()

    def update(self, references: Sequence[str], predictions: Sequence[str]) -> None:
        """Adds the texts of a batch.

        Raises:
          ValueError: not as many predictions as references.
        """
        if len(references) != len(predictions):
            raise ValueError(f"expected {len(references)} predictions, one per reference, got {len(predictions)}")
        for texts in zip(references, predictions, strict=True):
            reference, prediction = (composed(text).strip() for text in texts)
            self.characters.update(reference, prediction)
            self.words.update(reference.split(), prediction.split())

    def result(self) -> dict[str, float]:
        """Both rates over all texts so far. Raises ValueError if all references are empty."""
        return {"cer": self.characters.result(), "wer": self.words.result()}
