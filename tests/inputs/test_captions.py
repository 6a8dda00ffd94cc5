"""Captions as words or byte pairs: the end has the greatest id, padding is 0."""

import sys

import numpy as np
import pytest

from resnet_jax import Preprocess, Pretrained, create_model
from resnet_jax.errors import MissingExtra
from resnet_jax.inputs.captions import CaptionOptions, WordCaptions, caption_tokenizer, tokenizer_of


def test_captions_are_padded_and_cut_to_the_length():
    tokenizer = WordCaptions.of_texts(["A cat, a dog", "a dog"], 5)
    assert tokenizer.tokens == ("<pad>", "<unk>", "a", "dog", ",", "cat") and tokenizer.vocabulary_size == 8
    rows = tokenizer(["a dog", "a dog a cat a dog", "a Bird", ""])
    np.testing.assert_array_equal(rows, [[6, 2, 3, 7, 0], [6, 2, 3, 2, 7], [6, 2, 1, 7, 0], [6, 7, 0, 0, 0]])
    assert rows.dtype == np.int32 and (rows.max(1) == 7).all()
    np.testing.assert_array_equal(tokenizer("a dog"), rows[:1])  # not its letters


def test_known_tokens_make_the_same_tokenizer():
    options = CaptionOptions(length=8)
    one = caption_tokenizer(["a cat", "two dogs"], options=options)
    assert caption_tokenizer([], options=options, known=one.tokens) == one
    with pytest.raises(ValueError, match=r"data.captions.length: expected at least 3 .*, got 2"):
        WordCaptions.of_texts(["a"], 2)


def test_a_net_without_texts_or_with_an_unknown_vocabulary_has_no_tokenizer():
    how = Preprocess(32, 32, (0.5,) * 3, (0.5,) * 3)
    clip = create_model("clip_resnet50", image_tower="cifar_resnet8", text_layers=1, vocabulary_size=12)
    with pytest.raises(ValueError, match="^expected a net of images and texts, such as clip_resnet50, got resnet18$"):
        tokenizer_of(Pretrained(create_model("resnet18"), {}, how, "resnet18"))
    with pytest.raises(ValueError, match="^expected a vocabulary of 49,408 tokens, got 12, whose words are not known"):
        tokenizer_of(Pretrained(clip, {}, how, "clip_resnet50"))
    with pytest.raises(TypeError, match="expected a net as load_checkpoint or load_pretrained returns it, got str 'a'"):
        tokenizer_of("a")
    words = ("<pad>", "<unk>", *"abcdefgh")
    tokenizer = tokenizer_of(Pretrained(clip, {}, how, "clip_resnet50", words))
    assert tokenizer.tokens == words and tokenizer.length == 77


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
