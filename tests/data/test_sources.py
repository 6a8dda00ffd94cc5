from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.data import InMemory


def numbered(n, classes=10):
    """Images whose pixel says which one it is."""
    images = np.arange(n, dtype=np.uint16).view(np.uint8).reshape(n, 1, 2, 1)
    return InMemory(images, (np.arange(n) % classes).astype(np.int32), tuple(map(str, range(classes))))


def which(batch):
    return np.ascontiguousarray(batch["image"]).reshape(-1, 2).view(np.uint16).ravel()


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 200), batch_size=st.integers(1, 64), seed=st.integers(0, 5), start=st.integers(0, 40))
def test_batch_k_is_a_function_of_seed_and_k(n, batch_size, seed, start):
    source = numbered(n)
    if batch_size > n:
        with pytest.raises(ValueError, match="at most that many"):
            next(source.batches(seed, batch_size=batch_size))
        return
    straight = list(islice(source.batches(seed, batch_size=batch_size), start + 2))
    resumed = list(islice(source.batches(seed, start, batch_size=batch_size), 2))
    for a, b in zip(straight[start:], resumed, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert all(batch["mask"].all() and len(batch["label"]) == batch_size for batch in straight)


def test_an_epoch_shows_no_image_twice_and_epochs_and_seeds_differ():
    source = numbered(100)
    epochs = [[which(b) for b in islice(source.batches(seed, batch_size=30), 6)] for seed in (0, 1)]
    first, second = np.concatenate(epochs[0][:3]), np.concatenate(epochs[0][3:])
    assert len(set(first)) == len(set(second)) == 90
    assert (first != second).any()
    assert (np.concatenate(epochs[1][:3]) != first).any()
    labels = np.concatenate([batch["label"] for batch in islice(source.batches(0, batch_size=30), 3)])
    np.testing.assert_array_equal(first % 10, labels)


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 200), batch_size=st.integers(1, 64))
def test_evaluation_shows_every_image_once(n, batch_size):
    batches = list(numbered(n).eval_batches(batch_size))
    assert all(len(batch["label"]) == batch_size for batch in batches)
    shown = np.concatenate([which(batch)[batch["mask"] == 1] for batch in batches])
    np.testing.assert_array_equal(shown, np.arange(n))


def test_moments():
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), np.uint8)
    mean, std = InMemory(images, np.zeros(50, np.int32), ("a",)).moments()
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)))


@pytest.mark.parametrize(
    ("shape", "labels", "said"),
    [((3, 2, 2), [0, 0, 0], "wanted images"), ((2, 2, 2, 1), [0], "labels"), ((1, 2, 2, 1), [3], "are 0 to 1; got")],
)
def test_arrays_that_cannot_be_are_named(shape, labels, said):
    with pytest.raises(ValueError, match=said):
        InMemory(np.zeros(shape, np.uint8), np.array(labels), ("a", "b"))
