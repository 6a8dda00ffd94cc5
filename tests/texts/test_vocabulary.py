"""Vocabularies: order of a corpus, their file, and what no vocabulary has."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.errors import DataError
from resnet_jax.texts.vocabulary import Vocabulary

FIRST = ("<pad>", "<unk>")


def test_frequent_tokens_come_first_and_equals_by_their_code_points():
    counts = {"rare": 1, "b": 3, "a": 3, "often": 9}
    assert Vocabulary.of(counts).tokens == (*FIRST, "often", "a", "b", "rare")
    assert Vocabulary.of(dict(reversed(counts.items()))) == Vocabulary.of(counts)
    assert Vocabulary.of(counts, most=4, others=["<eos>"]).tokens == (*FIRST, "<eos>", "often")
    assert Vocabulary.of(counts, least_count=3).tokens == (*FIRST, "often", "a", "b")
    with pytest.raises(ValueError, match="most: expected at least 3, got 2; 2 are special tokens"):
        Vocabulary.of(counts, most=2)


def test_words_that_look_special_are_unknown_or_counted_once():
    vocabulary = Vocabulary.of({"<unk>": 5, "a": 2, "<pad>": 1, "\ud83d": 7})
    assert vocabulary.tokens == (*FIRST, "a")
    assert vocabulary.encode(["<pad>", "a", "<unk>", "b"]) == [1, 2, 1, 1]


def test_ids_decode_to_tokens_without_padding():
    vocabulary = Vocabulary((*FIRST, "a"))
    assert vocabulary.decode([2, 1, 0, 2, 0, 0]) == ["a", "<unk>", "a"]
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=f"expected ids from 0 to 2, got {wrong}"):
            vocabulary.decode([2, wrong])


TOKENS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=4), unique=True, max_size=20)


@settings(max_examples=60, deadline=None)
@given(TOKENS)
def test_a_file_gives_back_every_vocabulary(tmp_path_factory, tokens):
    vocabulary = Vocabulary.of(dict.fromkeys(tokens, 1))
    file = tmp_path_factory.mktemp("vocabulary") / "tokens.txt"
    vocabulary.save(file)
    assert Vocabulary.load(file) == vocabulary
    assert file.read_bytes().count(b"\n") == len(vocabulary)


def test_the_file_is_one_token_a_line(tmp_path):
    Vocabulary((*FIRST, " ", "\n", "\\", "é", "\\n", "\u2028")).save(tmp_path / "v.txt")
    assert (tmp_path / "v.txt").read_bytes().decode() == "<pad>\n<unk>\n\\s\n\\n\n\\\\\né\n\\\\n\n\u2028\n"


@pytest.mark.parametrize("text", ["<pad>\n<unk>\na", "\ufeff<pad>\n<unk>\na\n", "<pad>\r\n<unk>\r\na\r\n"])
def test_files_of_editors_are_read(tmp_path, text):
    (tmp_path / "v.txt").write_bytes(text.encode())
    assert Vocabulary.load(tmp_path / "v.txt").tokens == (*FIRST, "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: token 0: expected '<pad>', got ''"),
        (b"<pad>\n", "line 2: token 1: expected '<unk>', got the end"),
        (b"a\n<unk>\n", "line 1: token 0: expected '<pad>', got 'a'"),
        (b"<pad>\n<unk>\na\n\nb\n", "line 4: token 3: expected a token, got an empty one"),
        (b"<pad>\n<unk>\na\nb\na\n", "line 5: token 4: expected each token once, got 'a' again, which has id 2"),
        (b"<pad>\n<unk>\n\\x\n", r"line 3: unknown escape \x; expected \\, \s, \t, \n or \r"),
        (b"<pad>\n<unk>\na\\\n", "line 3: unknown escape \\; expected"),
        (b"<pad>\n<unk>\n\xff\n", "line 3: expected UTF-8, got byte 0xff"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, content, message):
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(DataError) as error:
        Vocabulary.load(tmp_path / "v.txt")
    assert str(error.value).startswith(f"{tmp_path / 'v.txt'}, {message}")


def test_no_vocabulary_has_such_tokens():
    for tokens, message in (
        (("a",), "token 0: expected '<pad>', got 'a'"),
        ((*FIRST, "\ud83d"), "token 2: expected valid Unicode"),
        ((*FIRST, "a", "a"), "token 3: expected each token once"),
    ):
        with pytest.raises(ValueError, match=f"^vocabulary, {message}"):
            Vocabulary(tokens)
    with pytest.raises(TypeError, match="expected a vocabulary's file"):
        Vocabulary.load(None)
