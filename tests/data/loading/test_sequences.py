"""Batches of series of unequal lengths: buckets, masks, shares of processes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.data.loading.samplers import BucketSampler, ShuffleSampler
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.errors import DataError
from resnet_jax.inputs import SeriesPreprocess, TextPreprocess

LENGTHS = (5, 9, 9, 3, 20, 14, 6, 7, 11, 30, 4)
CLASSES = ("a", "b", "c")
NAMES = ("image", "label", "mask", "example", "lengths")


def loader(lengths=LENGTHS, labels=None, **options):
    """Series whose values are their number, from 1: padding is 0."""
    items = [np.full((length, 2), number, np.float32) for number, length in enumerate(lengths, 1)]
    labels = np.arange(len(lengths)) % 3 if labels is None else np.asarray(labels)
    source = ArraySource(items, labels, CLASSES, "set.npz")
    return SequenceLoader(source, options.pop("preprocess", SeriesPreprocess(2, "none")), **options)


def batches(one, count, seed=0, start=0, size=4, **options):
    return [batch for _, batch in zip(range(count), one.batches(seed, start, batch_size=size, **options), strict=False)]


def check_rows(batch, one):
    """Each row holds its example, zeros behind it, and its label; a row without example is empty."""
    for row, index in enumerate(batch["example"]):
        length = 0 if index < 0 else LENGTHS[index]
        assert (batch["lengths"][row], batch["mask"][row]) == (length, index >= 0)
        assert (batch["image"][row, :length] == index + 1).all() and not batch["image"][row, length:].any()
        assert index < 0 or batch["label"][row] == index % 3
    assert [batch[name].dtype for name in NAMES] == [np.float32, np.int32, np.float32, np.int32, np.int32]


@pytest.mark.parametrize("keeps_last", [False, True])
def test_an_epoch_has_every_example_once_in_batches_of_similar_lengths(keeps_last):
    one = loader(keeps_last=keeps_last)
    assert one.ends.tolist() == [5, 9, 14, 30]
    steps = 3 if keeps_last else 2
    epochs = [batches(one, steps, start=steps * epoch) for epoch in range(4)]
    for epoch in epochs:
        for batch in epoch:
            check_rows(batch, one)
            longest = batch["lengths"].max()
            assert batch["image"].shape[1] == min(end for end in one.ends if end >= longest)
        shown = Counter(int(i) for batch in epoch for i in batch["example"] if i >= 0)
        assert set(shown.values()) == {1} and len(shown) == (11 if keeps_last else 8)
    shapes = [Counter(batch["image"].shape for batch in epoch) for epoch in epochs]
    assert all(one == shapes[0] for one in shapes)  # so that nothing is compiled after the first
    orders = [[tuple(batch["example"]) for batch in epoch] for epoch in epochs]
    assert len(set(map(tuple, orders))) == 4
    assert {int(i) for epoch in epochs for batch in epoch for i in batch["example"]} >= set(range(11))


@settings(deadline=None, max_examples=100)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=2, max_size=60),
    size=st.integers(1, 20),
    seed=st.integers(0, 3),
    keeps_last=st.booleans(),
)
def test_every_epoch_has_batches_of_the_same_buckets(lengths, size, seed, keeps_last):
    count = len(lengths)
    if size > count and not keeps_last:
        return
    buckets = np.digitize(lengths, np.quantile(lengths, [0.25, 0.5, 0.75]))
    sampler = BucketSampler(ShuffleSampler(count, seed, min(size, count)), buckets, seed, size, keeps_last=keeps_last)
    steps = -(-count // size) if keeps_last else count // size
    kinds = []
    for epoch in range(3):
        order = np.stack([sampler.batch(epoch * steps + k) for k in range(steps)])
        used = order[order >= 0]
        assert len(set(used)) == len(used) == (count if keeps_last else steps * size)
        assert order.size == steps * size
        kinds.append(Counter(buckets[row[row >= 0]].max() for row in order))
    assert kinds[1:] == kinds[:-1]


def test_a_batch_is_a_function_of_seed_and_step():
    one, fresh = loader(keeps_last=True), loader(keeps_last=True)
    straight = batches(one, 8, seed=3)
    for start in (6, 1):
        np.testing.assert_equal(batches(fresh, 2, seed=3, start=start), straight[start : start + 2])
    assert any((a["example"] != b["example"]).any() for a, b in zip(batches(one, 3, seed=4), straight, strict=False))


@pytest.mark.parametrize("keeps_last", [False, True])
def test_processes_share_each_batch(keeps_last):
    one = loader(keeps_last=keeps_last)
    whole = batches(one, 4)
    parts = [batches(one, 4, share=(i, 2)) for i in range(2)]
    evaluated = list(one.eval_batches(4))
    tests = [list(one.eval_batches(4, share=(i, 2))) for i in range(2)]
    for expected, halves in ((whole, parts), (evaluated, tests)):
        for batch, first, second in zip(expected, *halves, strict=True):
            joined = {name: np.concatenate([first[name], second[name]]) for name in first}
            np.testing.assert_equal(joined, batch)


@pytest.mark.parametrize("batch_size", [1, 4, 11, 16])
def test_evaluation_has_every_example_once(batch_size):
    one = loader()
    evaluated = list(one.eval_batches(batch_size))
    for batch in evaluated:
        check_rows(batch, one)
        assert len(batch["image"]) == batch_size
    shown = np.concatenate([batch["example"][batch["mask"] > 0] for batch in evaluated])
    assert sorted(shown) == list(range(11)) and len(evaluated) == -(-11 // batch_size)
    assert len({batch["image"].shape for batch in evaluated}) <= 4


def test_a_batch_may_be_larger_than_the_set_if_the_last_one_stays():
    (batch,) = batches(loader(LENGTHS[:3], keeps_last=True), 1, size=8)
    assert sorted(batch["example"]) == [-1] * 5 + [0, 1, 2] and batch["mask"].sum() == 3
    with pytest.raises(ValueError, match="a batch of 4 from 3 examples; expected at most 3"):
        batches(loader(LENGTHS[:3]), 1)


def test_balanced_batches_have_each_class_equally_often():
    one = loader(labels=[0] * 8 + [1, 1, 2], balance=True)
    epochs = batches(one, 6)
    counts = np.bincount(np.concatenate([batch["label"] for batch in epochs]))
    assert np.ptp(counts) <= 3 and counts.sum() == 24
    assert {batch["image"].shape[1] for batch in epochs} <= set(one.ends.tolist())


@pytest.mark.parametrize(("buckets", "ends"), [(1, [30]), (2, [9, 30]), (64, [3, 4, 5, 6, 7, 9, 11, 14, 20, 30])])
def test_there_are_at_most_as_many_lengths_as_buckets(buckets, ends):
    assert loader(buckets=buckets).ends.tolist() == ends


def test_lengths_that_hardly_differ_are_one_bucket():
    assert loader([100, 101, 95, 93, 94, 60]).ends.tolist() == [101]


def test_equal_lengths_have_no_lengths_unless_a_batch_is_filled_up():
    one = loader([6] * 5)
    assert set(batches(one, 1)[0]) == set(NAMES) - {"lengths"} and not one.has_lengths
    assert one.image_shape == (6, 2)
    filled = batches(replace(one, keeps_last=True), 2)
    assert sorted(batch["lengths"].sum() for batch in filled) == [6, 24]


def test_rows_that_fill_up_a_batch_of_one_length_have_length_0():
    """Else they would count in the statistics of the net's norms."""
    texts = ArraySource([b"ab", b"abcdefgh", b"abc"], np.arange(3), CLASSES, "set.txt")
    preprocess = TextPreprocess.of_texts(fixed_length=4)
    one = SequenceLoader(texts, preprocess, keeps_last=True)
    lengths = np.concatenate([batch["lengths"] for batch in batches(one, 2, size=2)])
    assert sorted(lengths.tolist()) == [0, 4, 4, 4] and one.image_shape == (4,)
    assert "lengths" not in batches(replace(one, keeps_last=False), 1, size=2)[0]


class Broken(SeriesPreprocess):
    """The third series cannot be read."""

    def read(self, item, name):
        if item[0, 0] == 3:
            raise DataError(f"{name}: no numbers")
        return super().read(item, name)


@pytest.mark.parametrize("keeps_last", [False, True])
def test_an_example_that_cannot_be_read_is_replaced_in_training_and_ignored_in_evaluation(keeps_last):
    one = loader(preprocess=Broken(2, "none"), skip_unreadable=True, keeps_last=keeps_last)
    steps = 3 if keeps_last else 2
    for batch in batches(one, 4 * steps):
        assert 2 not in batch["example"]
        check_rows(batch, one)
    assert one.skipped == {"set.npz, image 2": "set.npz, image 2: no numbers"}
    evaluated = list(one.eval_batches(4))
    shown = np.concatenate([batch["example"][batch["mask"] > 0] for batch in evaluated])
    assert sorted(shown) == [i for i in range(11) if i != 2]
    with pytest.raises(DataError, match="^set.npz, image 2: no numbers$"):
        list(loader(preprocess=Broken(2, "none")).eval_batches(4))


class Unreadable(SeriesPreprocess):
    """Its lengths are known without reading."""

    fixed_length = 4


def test_a_set_without_readable_examples_is_named():
    one = loader([3, 4], preprocess=SeriesPreprocess(1), skip_unreadable=True)
    clips = loader([3, 4], preprocess=Unreadable(1), skip_unreadable=True)
    message = r"none of 2 examples could be read; the last: .*expected a series float \[l, 1\], got \[\d, 2\]"
    with pytest.raises(DataError, match=message):
        _ = one.image_shape  # before any work
    for function in (lambda: batches(clips, 1, size=2), lambda: list(clips.eval_batches(2))):
        with pytest.raises(DataError, match=message):
            function()
    assert len(one.skipped) == len(clips.skipped) == 2


def test_an_example_that_grows_meanwhile_is_named():
    one = loader([3, 4], cache=0)
    _ = one.ends
    one.examples.images[0] = np.ones((9, 2), np.float32)
    with pytest.raises(
        DataError, match="^set.npz, image 0: expected a length of at most [34], as when .* got 9; the fi"
    ):
        list(one.eval_batches(2))


def test_what_does_not_fit_in_memory_is_read_again():
    small, large = loader(cache=0), loader()
    np.testing.assert_equal(batches(small, 4), batches(large, 4))
    assert not small._read and len(large._read) == 11


class Counted:
    """A source that counts how often each example is read, and knows its labels if `labels` are there."""

    classes = CLASSES

    def __init__(self, labels):
        self.items = [np.full((length, 1), length, np.float32) for length in LENGTHS]
        self.reads, self.chosen = Counter(), labels

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.reads[int(index)] += 1
        return self.items[index], self.chosen[index]

    def name(self, index):
        return f"example {index}"


def test_a_label_does_not_read_its_example_again():
    source = Counted([number % 3 for number in range(11)])
    one = SequenceLoader(source, SeriesPreprocess(1, "none"), threads=1)
    for _ in range(2):
        for batch in one.eval_batches(4):
            shown = batch["example"] >= 0
            assert (batch["label"] == np.where(shown, batch["example"] % 3, 0)).all() and shown.any()
    assert set(source.reads.values()) == {2}  # for its length, and for itself


def test_transcripts_are_ids_with_lengths():
    items = [np.zeros((length, 1), np.float32) for length in (3, 4, 5)]
    source = ArraySource(items, np.array(["ab", "", "bab"]), ("<blank>", "a", "b"), "set.npz")
    one = SequenceLoader(source, SeriesPreprocess(1, "none"), buckets=1)
    (batch,) = one.eval_batches(4)
    assert batch["label"].tolist() == [[1, 2, 0], [0, 0, 0], [2, 1, 2], [0, 0, 0]]
    assert batch["label_lengths"].tolist() == [2, 0, 3, 0] and batch["mask"].tolist() == [1, 1, 1, 0]
