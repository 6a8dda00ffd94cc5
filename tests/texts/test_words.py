"""Words as ids: how texts are split, unknown words, ends of lines."""

import pytest

from resnet_jax.texts.vocabulary import Vocabulary
from resnet_jax.texts.words import WordTokenizer

TEXTS = ["The cat isn't here .", "the dog , the cat"]


def test_words_keep_apostrophes_and_marks_are_tokens():
    tokenizer = WordTokenizer.of_texts(TEXTS, lowercase=True)
    assert tokenizer.vocabulary.tokens == ("<pad>", "<unk>", "the", "cat", ",", ".", "dog", "here", "isn't")
    assert tokenizer.encode("THE cat's dog...") == [2, 1, 6, 5, 5, 5]
    assert tokenizer.decode(tokenizer.encode("the  dog,here")) == "the dog , here"


def test_spaces_alone_split_prepared_corpora():
    tokenizer = WordTokenizer.of_texts(["a @-@ b = c", "a <unk> b"], split="spaces")
    assert tokenizer.vocabulary.tokens == ("<pad>", "<unk>", "a", "b", "=", "@-@", "c")
    assert tokenizer.encode("a <unk> <pad> @-@") == [2, 1, 1, 5]


def test_lines_end_with_a_token():
    tokenizer = WordTokenizer.of_texts(TEXTS, ends_lines=True)
    end = tokenizer.vocabulary.ids["<eos>"]
    assert end == 2
    cat = tokenizer.vocabulary.ids["cat"]
    assert tokenizer.encode("cat\ncat\n") == tokenizer.encode("cat\ncat") == [cat, end, cat, end]
    assert tokenizer.encode("cat\n\n") == [cat, end, end]
    assert tokenizer.encode("") == []
    assert tokenizer.decode([cat, end, cat, end]) == "cat\ncat\n"


def test_rare_words_are_unknown():
    tokenizer = WordTokenizer.of_texts(TEXTS, lowercase=True, least_count=2)
    assert tokenizer.vocabulary.tokens[2:] == ("the", "cat")
    assert tokenizer.decode(tokenizer.encode("the dog")) == "the <unk>"


def test_options_that_do_not_fit_are_named():
    vocabulary = Vocabulary(("<pad>", "<unk>", "a"))
    with pytest.raises(ValueError, match="ends_lines: expected a vocabulary with '<eos>', got one of 3 tokens"):
        WordTokenizer(vocabulary, ends_lines=True)
    for make in (WordTokenizer, lambda _, split: WordTokenizer.of_texts(["a"], split=split)):
        with pytest.raises(ValueError, match="split: expected words or spaces, got 'letters'"):
            make(vocabulary, split="letters")
    with pytest.raises(TypeError, match=r"expected a text \(str\), got None"):
        WordTokenizer(vocabulary).encode(None)
