"""What the preprocessings of series, sounds and texts share: records, lengths, batches of items."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_jax.inputs import AudioPreprocess, SeriesPreprocess, TextPreprocess, preprocess_of
from resnet_jax.inputs.protocol import fitted, padded
from resnet_jax.types import Preprocess

EVERY = [
    SeriesPreprocess(2, "train", (0.0, 1.0), (1.0, 2.0)),
    AudioPreprocess(8000, 0.5, "mfcc", normalise="train", mean=-3.0, std=2.0),
    TextPreprocess.of_texts(["ab"], vocabulary="data"),
    Preprocess(32, 32, (0.5,), (0.25,)),
]


@pytest.mark.parametrize("preprocess", EVERY, ids=lambda one: one.kind)
def test_a_record_in_json_restores_each(preprocess):
    restored = preprocess_of(json.loads(json.dumps(preprocess.record())))
    assert restored == preprocess and type(restored) is type(preprocess)
    assert pickle.loads(pickle.dumps(preprocess)) == preprocess and hash(restored) == hash(preprocess)


def test_records_of_other_versions_are_named():
    with pytest.raises(ValueError, match="expected a preprocessing of series, audio, text, got 'serie'; did you mean"):
        preprocess_of({"kind": "serie"})
    with pytest.raises(ValueError, match="^preprocessing of series: .*unexpected keyword argument 'window'"):
        preprocess_of({"kind": "series", "channels": 1, "window": 3})
    with pytest.raises(ValueError, match="^preprocessing of images: .*unexpected keyword argument 'window'"):
        preprocess_of(EVERY[-1].record() | {"kind": "images", "window": 3})
    with pytest.raises(ValueError, match="^expected a preprocessing of series, got one of audio$"):
        SeriesPreprocess.restored(AudioPreprocess().record())


def test_weights_bring_their_preprocessing_but_for_the_length():
    series, audio, text, _ = EVERY
    assert SeriesPreprocess(2).adopt(series) == series
    assert AudioPreprocess(16000, 2.0).adopt(audio) == replace(audio, seconds=2.0)
    other = TextPreprocess.of_texts(["cd"], vocabulary="data", fixed_length=9)
    assert other.adopt(text) == replace(text, fixed_length=9)
    with pytest.raises(ValueError, match="^data.text: expected the vocabulary of the weights, 4 tokens, got one of 5;"):
        TextPreprocess.of_texts(["abc"], vocabulary="data").adopt(text)
    models = [TextPreprocess.of_texts([x], tokens="words", next_token=True, window=4) for x in ("a b", "a c")]
    with pytest.raises(ValueError, match="expected the vocabulary of the weights, 5 tokens, got another of 5;"):
        models[0].adopt(models[1])
    assert models[0].adopt(replace(models[0], window=8)) == models[0]


def test_a_longer_example_is_cut_and_a_shorter_one_padded():
    example = np.arange(1, 8, dtype=np.float32)[:, None]
    assert fitted(example, 3, None)[:, 0].tolist() == [3, 4, 5]
    assert fitted(example, 9, None)[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 0, 0]
    assert fitted(example, 7, None) is not None and fitted(example, 7, None).shape == (7, 1)
    rng = np.random.default_rng(0)
    starts = {int(fitted(example, 3, rng)[0, 0]) for _ in range(200)}
    assert starts == {1, 2, 3, 4, 5}


def test_examples_are_padded_in_their_own_type():
    array = padded([np.array([1, 2], np.int32), np.array([], np.int32)], 3)
    assert array.dtype == np.int32 and array.tolist() == [[1, 2, 0], [0, 0, 0]]


def test_a_single_item_is_refused():
    with pytest.raises(TypeError, match=r"expected a list of items, got .*; \[item\] is a list of one"):
        TextPreprocess.of_texts().batch("a text")
    with pytest.raises(TypeError, match=r"expected a list of items"):
        AudioPreprocess().batch(Path("a.wav"))
    with pytest.raises(ValueError, match="^expected at least one item, got none$"):
        SeriesPreprocess(1).batch([])
