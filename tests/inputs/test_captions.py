"""Captions as words or byte pairs: the end has the greatest id, padding is 0."""

import sys

import numpy as np
import pytest

from resnet_jax.errors import MissingExtra
from resnet_jax.inputs.captions import CaptionOptions, WordCaptions, caption_tokenizer


def test_captions_are_padded_and_cut_to_the_length():
    tokenizer = WordCaptions.of_texts(["A cat, a dog", "a dog"], 5)
    assert tokenizer.tokens == ("<pad>", "<unk>", "a", "dog", ",", "cat") and tokenizer.vocabulary_size == 8
    rows = tokenizer(["a dog", "a dog a cat a dog", "a Bird", ""])
    np.testing.assert_array_equal(rows, [[6, 2, 3, 7, 0], [6, 2, 3, 2, 7], [6, 2, 1, 7, 0], [6, 7, 0, 0, 0]])
    assert rows.dtype == np.int32 and (rows.max(1) == 7).all()


def test_known_tokens_make_the_same_tokenizer():
    options = CaptionOptions(length=8)
    one = caption_tokenizer(["a cat", "two dogs"], options=options)
    assert caption_tokenizer([], options=options, known=one.tokens) == one
    with pytest.raises(ValueError, match=r"data.captions.length: expected at least 3 .*, got 2"):
        WordCaptions.of_texts(["a"], 2)


def test_byte_pairs_have_clips_published_ids(monkeypatch):
    options = CaptionOptions("clip", length=6)
    pytest.importorskip("ftfy")
    pytest.importorskip("regex")
    tokenizer = caption_tokenizer([], options=options, known=())
    assert tokenizer.tokens == () and tokenizer.vocabulary_size == 49_408
    expected = [[49406, 320, 2368, 49407, 0, 0], [49406, 320, 2368, 320, 2368, 49407]]
    np.testing.assert_array_equal(tokenizer(["a cat", "a cat a cat a cat"]), expected)
    with pytest.raises(ValueError, match=r"data.captions.length: expected at least 3 .*, got 2"):
        caption_tokenizer([], options=CaptionOptions("clip", 2))
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(MissingExtra, match="ftfy is not installed"):
        caption_tokenizer([], options=options)


def test_words_that_are_not_in_the_vocabulary_are_listed():
    tokenizer = WordCaptions.of_texts(["a cat", "a dog"], 5)
    assert tokenizer.unknown(["A zebra", "the dog", "the cat"]) == ("the", "zebra")
