import json
import pickle

import numpy as np
import pytest

from resnet_jax.errors import DataError
from resnet_jax.inputs.text import TextPreprocess, text_of
from resnet_jax.texts.vocabulary import Vocabulary

TEXTS = ["the cat\n", "the dog sat"]


def test_the_default_is_the_alphabet_of_vdcnn_and_a_fixed_length_that_counts_padding():
    texts = TextPreprocess.of_texts(fixed_length=8)
    tokens, lengths = texts.batch(["Cab", b"a \xc3\xa9 b".ljust(20)])
    assert (tokens.dtype, tokens.shape, lengths) == (np.int32, (2, 8), None)
    assert tokens.tolist() == [[5, 3, 4, 0, 0, 0, 0, 0], [3, 2, 1, 2, 4, 2, 2, 2]]
    assert texts.decode(tokens[0]) == "cab"
    assert texts.model_options() == {"vocabulary_size": 69}
    assert texts.spatial_shape(8) == (8,)
    assert texts.length("ab", "x") == 8
    assert texts.read(np.array([5, 3]), "x").tolist() == [5, 3, 0, 0, 0, 0, 0, 0]
    batch = {"image": tokens, "lengths": np.array([8, 0])}  # the last row fills up the batch
    assert texts.prepare(batch) is batch


def test_texts_have_their_own_lengths_without_a_fixed_one():
    texts = TextPreprocess.of_texts()
    tokens, lengths = texts.batch(["ab", "c"])
    assert (tokens.tolist(), lengths.tolist()) == ([[3, 4], [5, 0]], [2, 1])
    assert texts.length("abc", "x") == 3
    assert texts.prepare({"image": tokens, "lengths": lengths})["lengths"] is lengths


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({"tokens": "words"}, "the cat dog sat"),
        ({"tokens": "words", "most": 3}, "the"),
        ({"tokens": "words", "least_count": 2}, "the"),
        ({"tokens": "characters", "vocabulary": "data", "most": 3}, "t"),
    ],
)
def test_a_vocabulary_of_the_training_texts(options, tokens):
    texts = TextPreprocess.of_texts([TEXTS[0], TEXTS[1].encode()], **options)
    assert texts.tokenizer.vocabulary.tokens[2:] == tuple(tokens.split())


def test_language_models_read_the_characters_of_the_data_behind_a_line_end():
    texts = TextPreprocess.of_texts(TEXTS, next_token=True)
    ids = texts.read("cat", "x")
    assert texts.start == texts.tokenizer.vocabulary.ids["\n"]
    assert (ids[0], texts.decode(ids)) == (texts.start, "\ncat")
    size = len(texts.tokenizer.vocabulary)
    assert texts.model_options() == {"vocabulary_size": size, "num_classes": size}
    words = TextPreprocess.of_texts(TEXTS, next_token=True, tokens="words")
    assert words.decode(words.read("the cat\nsat", "x")) == "\nthe cat\nsat\n"


def test_without_a_line_end_the_first_token_is_not_predicted(tmp_path):
    Vocabulary(("<pad>", "<unk>", "a", "b")).save(tmp_path / "v.txt")
    texts = TextPreprocess.of_texts(vocabulary=tmp_path / "v.txt", next_token=True)
    assert texts.start is None
    assert texts.read("ab", "x").tolist() == [2, 3]
    with pytest.raises(DataError, match=r"^line 3: expected a text with a token to predict, got one token$"):
        texts.read("a", "line 3")


def test_ids_that_were_read_already_pass():
    texts = TextPreprocess.of_texts(TEXTS, next_token=True)
    ids = texts.read("cat", "x")
    assert texts.read(ids, "x").tolist() == ids.tolist()
    with pytest.raises(DataError, match=r"^x: expected ids from 0 to \d+, got 99$"):
        texts.read(np.array([2, 99]), "x")
    with pytest.raises(TypeError, match=r"^x: expected ids int \[l\], got float64 \[2\]$"):
        texts.read(np.zeros(2), "x")


def test_a_file_of_a_vocabulary(tmp_path):
    Vocabulary(("<pad>", "<unk>", "b", "a")).save(tmp_path / "v.txt")
    texts = TextPreprocess.of_texts(vocabulary=tmp_path / "v.txt")
    assert texts.read("abc", "x").tolist() == [3, 2, 1]
    words = TextPreprocess.of_texts(vocabulary=str(tmp_path / "v.txt"), tokens="words", lowercase=True)
    assert words.read("A b x", "x").tolist() == [3, 2, 1]


def test_a_missing_file_of_a_vocabulary_is_named():
    expected = "'vdcnn', 'data' or a file with a token a line"
    with pytest.raises(FileNotFoundError, match=f"^no vocabulary 'vdccn'; expected {expected}$"):
        TextPreprocess.of_texts(vocabulary="vdccn")


@pytest.mark.parametrize(
    "options",
    [
        {"fixed_length": 9},
        {"tokens": "words", "split": "spaces", "lowercase": True},
        {"tokens": "words", "next_token": True, "window": 9},
        {"vocabulary": "data"},
    ],
)
def test_a_record_restores_it(options):
    texts = TextPreprocess.of_texts(TEXTS, **options)
    record = json.loads(json.dumps(texts.record()))
    assert record["kind"] == "text"
    assert TextPreprocess.restored(record) == texts == pickle.loads(pickle.dumps(texts))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": "syllables"}, "tokens: expected characters or words, got 'syllables'"),
        ({"vocabulary": ["a"]}, "vocabulary, token 0: expected '<pad>', got 'a'"),
        ({"fixed_length": 0}, "fixed_length: expected at least 1, got 0"),
    ],
)
def test_a_wrong_record_is_refused(change, message):
    record = TextPreprocess.of_texts().record()
    with pytest.raises(ValueError, match=f"^{message}$"):
        TextPreprocess.restored({**record, **change})
    with pytest.raises(ValueError, match=r"^record of texts: expected 'vocabulary', got kind$"):
        TextPreprocess.restored({"kind": "text"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "bytes"}, "tokens: expected characters or words, got 'bytes'"),
        ({"most": 9}, "most=9 is for the vocabulary 'data', got 'vdcnn'"),
        ({"least_count": 2}, "least_count=2 is for the vocabulary 'data', got 'vdcnn'"),
        ({"tokens": "words", "vocabulary": "vdcnn"}, "vocabulary 'vdcnn' has characters; expected 'data' or a file .*"),
        ({"fixed_length": 4, "next_token": True}, "fixed_length: expected None for a language model, got 4"),
        ({"window": 4}, "window: expected None without next_token, got 4"),
        ({"next_token": True, "window": 1}, "window: expected at least 2, got 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TextPreprocess.of_texts(TEXTS, **options)


def test_what_is_no_text_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfab")
    assert text_of(tmp_path / "a.txt", "x") == "ab"
    with pytest.raises(DataError, match=r"^mail, line 2: expected UTF-8, got 0xff at byte 1$"):
        text_of(b"a\xff", "mail, line 2")
    with pytest.raises(TypeError, match=r"^x: expected a text \(str, UTF-8 bytes or the Path of a file\), got int 5$"):
        text_of(5, "x")
    texts = TextPreprocess.of_texts()
    with pytest.raises(DataError, match=r"^x: expected a text, got no tokens$"):
        texts.read("", "x")
    with pytest.raises(TypeError, match=r"^expected a list of items, got str 'ab'; \[item\] is a list of one$"):
        texts.batch("ab")
    with pytest.raises(ValueError, match=r"^expected at least one item, got none$"):
        texts.batch([])


def test_training_of_a_language_model_cuts_windows_from_longer_ids():
    texts = TextPreprocess.of_texts(TEXTS, next_token=True, window=4)
    ids = np.arange(2, 9, dtype=np.int32)
    assert texts.length(ids, "x") == 4
    cut = {tuple(texts.fit(ids, np.random.default_rng(seed)).tolist()) for seed in range(40)}
    assert cut == {tuple(range(start, start + 4)) for start in range(2, 6)}
    assert texts.fit(ids).tolist() == ids.tolist()  # evaluation cuts nothing
    assert texts.length("the cat", "x") == 8
    assert TextPreprocess.of_texts(TEXTS, next_token=True).window == 256
