"""Characters as ids: the alphabet of VDCNN, alphabets of texts, composed forms, unknown characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_jax.texts.characters import CharacterTokenizer

FRENCH = ("Le café est fermé.", "À demain !")


def test_the_alphabet_of_vdcnn_has_69_tokens():
    tokenizer = CharacterTokenizer.of_characters()
    assert len(tokenizer.vocabulary) == 69
    assert tokenizer.encode("a Z~\n") == [3, 2, 28, tokenizer.vocabulary.ids["~"], 1]
    assert tokenizer.decode(tokenizer.encode("Good! [No]")) == "good! [no]"


def test_frequent_characters_of_texts_come_first():
    tokenizer = CharacterTokenizer.of_texts(["banana", "NB"])
    assert tokenizer.vocabulary.tokens == ("<pad>", "<unk>", "a", "n", "B", "N", "b")
    assert CharacterTokenizer.of_texts(["banana", "NB"], lowercase=True, most=4).vocabulary.tokens[2:] == ("a", "n")


def test_equal_texts_have_equal_ids_whatever_their_form():
    tokenizer = CharacterTokenizer.of_texts(FRENCH)
    assert tokenizer.encode("cafe\u0301") == tokenizer.encode("caf\u00e9")
    assert "e\u0301" not in tokenizer.vocabulary.ids


def test_unknown_characters_and_padding_decode():
    tokenizer = CharacterTokenizer.of_characters("ab", lowercase=False)
    assert tokenizer.encode("aXb") == [2, 1, 3]
    assert tokenizer.decode([2, 1, 3, 0, 0]) == "a\ufffdb"


@given(st.text(st.sampled_from(sorted(set("".join(FRENCH))))))
def test_known_texts_come_back(text):
    tokenizer = CharacterTokenizer.of_texts(FRENCH)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", [None, b"bytes", ["a"]])
def test_anything_but_a_text_is_refused(text):
    with pytest.raises(TypeError, match=r"expected a text \(str\), got"):
        CharacterTokenizer.of_characters().encode(text)
