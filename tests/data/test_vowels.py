"""The vowels that come with the package."""

import numpy as np
import pytest

from resnet_jax.data import default_splits, open_dataset


def test_the_vowels():
    data = open_dataset("japanese_vowels", kind="series")
    assert data.name == "japanese_vowels" and data.splits == {"train": 270, "test": 370}
    assert default_splits(data, "train", None) == ("train", "test")
    train, test = data.examples("train"), data.examples("test")
    assert train.classes == test.classes == tuple("123456789")
    assert np.bincount(train.labels).tolist() == [30] * 9
    assert np.bincount(test.labels).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    lengths = [len(train[i][0]) for i in range(270)] + [len(test[i][0]) for i in range(370)]
    assert (min(lengths), max(lengths), sum(lengths)) == (7, 29, 9961)
    first, label = train[0]
    assert first.dtype == np.float32 and first.shape == (20, 12) and label == 0
    np.testing.assert_array_equal(first[:2, :2], np.array([[1.860936, -0.207383], [1.891651, -0.193249]], np.float32))
    last = np.concatenate([test[i][0] for i in range(370)])
    assert np.isfinite(last).all() and last.min() > -2 and last.max() < 2.3
    assert test.name(3) == "japanese_vowels, test, series 3"


def test_parts_have_every_speaker():
    data = open_dataset("japanese_vowels", kind="series")
    for part in ("train[:10%]", "train[held-out]", "train[training]"):
        assert set(data.examples(part).labels.tolist()) == set(range(9)), part
    assert len(data.examples("train[held-out]+train[training]")) == 270


@pytest.mark.parametrize(
    "name, kind, options, message",
    [
        ("japanese_vowels", "series", {"label_kind": "targets"}, "one class per series; expected label_kind='class'"),
        ("japanese_vowels", "series", {"label_column": "y"}, "label_column='y' describes data at a path"),
        ("japanese_vowels", "series", {"labels": "y.csv"}, "labels='y.csv' describes data at a path"),
        ("digits", "series", {}, "digits holds no series; expected data.name='japanese_vowels', which comes with"),
        ("digits", "audio", {}, "digits holds no audio; expected data.path, .* or a TFDS set"),
        ("japanese_vowels", "text", {}, "japanese_vowels holds no text"),
    ],
)
def test_what_the_packages_sets_do_not_hold(name, kind, options, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(name, kind=kind, **options)


def test_sounds_and_texts_by_name_are_of_tfds(tmp_path):
    for name, kind in (("speech_commands", "audio"), ("imdb_reviews", "text")):
        with pytest.raises(ValueError, match=f"{name} is not prepared in {tmp_path}"):
            open_dataset(name, kind=kind, data_dir=str(tmp_path))
