"""Error rates of transcripts in closed form."""

import random

import pytest

from resnet_jax.metrics.edit_distance import Edits
from resnet_jax.metrics.transcripts import ErrorRate, TranscriptErrors


def test_rates_are_over_all_texts_and_do_not_depend_on_batches():
    references = ["the cat sat", "on the mat", "yes"]
    predictions = ["the cat sat", "on a mat", "yes yes"]
    whole, parts = TranscriptErrors(), TranscriptErrors()
    whole.update(references, predictions)
    for reference, prediction in zip(references, predictions, strict=True):
        parts.update([reference], [prediction])
    assert whole.result() == parts.result() == {"cer": (3 + 4) / 24, "wer": 2 / 7}
    assert whole.words.edits == Edits(substitutions=1, deletions=0, insertions=1)


def test_rates_can_exceed_one_and_are_zero_for_equal_texts():
    errors = TranscriptErrors()
    errors.update(["ab"], ["  ab\n"])
    assert errors.result() == {"cer": 0, "wer": 0}
    errors.update([""], ["x y z w"])
    assert errors.result() == {"cer": 7 / 2, "wer": 4}


def test_characters_are_composed():
    errors = TranscriptErrors()
    errors.update(["e\u0301te\u0301"], ["\u00e9te"])  # decomposed and composed
    assert errors.result() == {"cer": 1 / 3, "wer": 1}


def test_items_of_any_kind():
    rate = ErrorRate()
    rate.update([1, 2, 3, 4], (1, 3, 4))
    assert rate.result() == 1 / 4


def test_what_cannot_be_measured_is_refused():
    errors = TranscriptErrors()
    errors.update([" "], ["a"])
    with pytest.raises(ValueError, match="expected a reference with at least one item, got none"):
        errors.result()
    with pytest.raises(ValueError, match="expected 2 predictions, one per reference, got 1"):
        errors.update(["a", "b"], ["a"])


@pytest.mark.parity
def test_rates_are_jiwers():
    jiwer = pytest.importorskip("jiwer")
    rng = random.Random(0)
    words = ["ab", "abc", "b", "cab", "bb"]
    texts = [[" ".join(rng.choices(words, k=rng.randint(1, 8))) for _ in range(50)] for _ in range(2)]
    errors = TranscriptErrors()
    errors.update(*texts)
    assert errors.result() == pytest.approx({"cer": jiwer.cer(*texts), "wer": jiwer.wer(*texts)}, abs=1e-12)
