"""CLIP's tokenizer: golden ids of open_clip, and open_clip itself when asked for."""

import json
import sys

import numpy as np
import pytest
import recipe
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.data import tokenizer as as_data
from resnet_jax.errors import MissingExtra
from resnet_jax.texts import clip

GOLDEN = json.loads((recipe.GOLDEN / "clip" / "tokens.json").read_text())  # made by tests/golden/clip/tokens.py
pytest.importorskip("ftfy")
pytest.importorskip("regex")


@pytest.fixture(scope="module")
def tokenizer():
    return clip.CLIPTokenizer()


def test_ids_are_open_clips(tokenizer):
    assert len(GOLDEN) > 60
    for text, ids in GOLDEN.items():
        assert tokenizer.encode(text) == ids, text
    tokens = tokenizer(list(GOLDEN))
    assert tokens.dtype == np.int32 and tokens.shape == (len(GOLDEN), 77)
    for row, ids in zip(tokens, GOLDEN.values(), strict=True):
        expected = [49406, *ids[:75], 49407]
        assert row.tolist() == expected + [0] * (77 - len(expected))


def test_long_texts_are_cut_and_end(tokenizer):
    assert tokenizer("word " * 100)[0, -1] == 49407 and (tokenizer("word " * 100)[0, 1:-1] == 2653).all()
    assert clip.CLIPTokenizer(4)(["a b c d", ""]).tolist() == [[49406, 320, 321, 49407], [49406, 49407, 0, 0]]


def test_a_text_is_decoded(tokenizer):
    assert tokenizer.vocabulary_size == 49_408
    assert tokenizer.decode(tokenizer("A Naïve café, ☃!")[0]) == "a naïve café , ☃! "
    with pytest.raises(ValueError, match="^expected ids from 0 to 49407, got 49408$"):
        tokenizer.decode([49_408])


def test_other_values_than_texts_are_refused(tokenizer):
    for value in (b"cat", 3, None):
        with pytest.raises(TypeError, match=r"expected a text \(str\), got"):
            tokenizer.encode(value)
    with pytest.raises(ValueError, match="^context_length: expected at least 2"):
        clip.CLIPTokenizer(1)


@pytest.mark.parametrize("package", ["ftfy", "regex"])
def test_without_its_packages_it_is_an_error(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package} is not installed: pip install 'flax-resnets\[clip\]'"):
        clip.CLIPTokenizer()


def test_it_is_found_beside_the_data():
    assert as_data.CLIPTokenizer is clip.CLIPTokenizer


ENTITIES = st.sampled_from(
    ["&amp;", "&amp;lt;", "&#128512;", "&nbsp;", "&", "&eacute", "<end_of_text>", "'ll", "'S", "  "]
)
LETTERS = st.characters(exclude_categories=())  # half surrogates, too
TEXTS = st.lists(st.one_of(st.text(LETTERS, max_size=40), ENTITIES), max_size=8).map("".join)
LONG = st.tuples(st.text(LETTERS, min_size=1, max_size=5), st.integers(1, 300)).map(lambda pair: pair[0] * pair[1])


@pytest.mark.parity
def test_ids_of_random_texts_are_open_clips(tokenizer):
    open_clip = pytest.importorskip("open_clip")
    theirs, count = open_clip.get_tokenizer("RN50"), 0

    @settings(max_examples=10_000, deadline=None, database=None)
    @given(st.one_of(TEXTS, TEXTS, LONG))
    def compare(text):
        nonlocal count
        count += 1
        np.testing.assert_array_equal(tokenizer(text), theirs(text).numpy())

    compare()
    assert count >= 10_000
