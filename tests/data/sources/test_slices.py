"""Parts of splits: their sizes, their shares of classes, and what cannot be understood."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_sets import stored, which

from resnet_jax.data.sources.slices import spread


def count(split, length=1000):
    return len(stored(np.arange(length) % 10).examples(split))


@pytest.mark.parametrize(
    "split, expected",
    [
        ("train", 1000),
        ("train[:]", 1000),
        ("train[:10%]", 100),
        ("train[10%:]", 900),
        ("train[500:]", 500),
        ("train[:1]", 1),
        ("train[-100:]", 100),
        ("train[:-100]", 900),
        ("train[-10%:]", 100),
        ("train[-30%:-10%]", 200),
        ("train[200:30%]", 100),
        ("train[:5000]", 1000),
        ("train[-5000:]", 1000),
        ("train[:250%]", 1000),
    ],
)
def test_parts_have_the_requested_size(split, expected):
    assert count(split) == expected


@pytest.mark.parametrize("split", ["train[500:500]", "train[600:500]", "train[1000:]", "train[:0]", "train[:0%]"])
def test_an_empty_part_is_named(split):
    with pytest.raises(ValueError, match=re.escape(f"set: '{split}' is empty; 'train' has 1000 images")):
        count(split)


@pytest.mark.parametrize(
    "split",
    ["train[", "train[]", "train[5]", "train[a:b]", "train[::2]", "train[:10%", "train[held out]", "train[:1.5%]"],
)
def test_a_part_that_cannot_be_understood_is_named(split):
    with pytest.raises(ValueError, match="cannot be understood; expected .*train\\[:10%") as caught:
        count(split)
    assert repr(split) in str(caught.value)


@pytest.mark.parametrize("split", ["tarin", "tarin[:10%]", "", "[:10%]", "train]", "train+test"])
def test_an_unknown_split_is_named(split):
    with pytest.raises(ValueError, match="set has no split .*(did you mean|expected) train"):
        count(split)


@settings(deadline=None, max_examples=60)
@given(
    labels=st.lists(st.integers(0, 4), min_size=4, max_size=80),
    cuts=st.lists(st.one_of(st.integers(1, 79).map(str), st.integers(1, 99).map("{}%".format)), max_size=3),
)
def test_complementary_parts_have_every_image_once(labels, cuts):
    data, length = stored(labels), len(labels)

    def place(cut):
        return min(length, round(int(cut[:-1]) * length / 100) if cut.endswith("%") else int(cut))

    ends = ["", *sorted(cuts, key=place), ""]
    seen = []
    for first, last in zip(ends, ends[1:], strict=False):
        if (place(first) if first else 0) < (place(last) if last else length):
            part = data.examples(f"train[{first}:{last}]")
            assert [part[i][1] for i in range(len(part))] == [labels[i] for i in which(part)]
            assert which(part) == sorted(which(part))
            seen += which(part)
    assert sorted(seen) == list(range(length))


@pytest.mark.parametrize("split", ["train[:10%]", "train[50%:60%]", "train[-50:]", "train[95:145]"])
def test_every_part_of_a_set_in_order_of_class_has_all_classes_in_their_share(split):
    labels = np.repeat(np.arange(5), [200, 100, 100, 50, 50])
    part = stored(labels).examples(split)
    np.testing.assert_allclose(np.bincount(part.labels, minlength=5), [20, 10, 10, 5, 5], atol=1)


@settings(deadline=None, max_examples=60)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=80))
def test_spread_is_a_fixed_order_of_everything(labels):
    order = spread(np.array(labels))
    assert sorted(order) == list(range(len(labels)))
    np.testing.assert_array_equal(order, spread(np.array(labels)))
