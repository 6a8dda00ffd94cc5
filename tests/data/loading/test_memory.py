import dataclasses
import io
import math
from itertools import islice

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_jax.data import MemoryLoader, open_loader
from resnet_jax.data.loading import memory
from resnet_jax.data.loading.memory import load_into_memory
from resnet_jax.data.loading.samplers import ShuffleSampler
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import UnreadableImage


def numbered(n, classes=10):
    """Images whose pixel says which one it is."""
    images = np.arange(n, dtype=np.uint16).view(np.uint8).reshape(n, 1, 2, 1)
    return MemoryLoader(images, (np.arange(n) % classes).astype(np.int32), tuple(map(str, range(classes))))


def which(batch):
    return np.ascontiguousarray(batch["image"]).reshape(-1, 2).view(np.uint16).ravel()


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 200), batch_size=st.integers(1, 64), seed=st.integers(0, 5), start=st.integers(0, 40))
def test_batch_k_is_a_function_of_seed_and_k(n, batch_size, seed, start):
    source = numbered(n)
    if batch_size > n:
        with pytest.raises(ValueError, match="expected at most"):
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
    mean, std = MemoryLoader(images, np.zeros(50, np.int32), ("a",)).moments()
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)))


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((3, 2, 2), [0, 0, 0], "expected images"),
        ((2, 2, 2, 1), [0], "labels"),
        ((1, 2, 2, 1), [3], "labels from 0 to 1, got"),
    ],
)
def test_arrays_that_cannot_be_are_named(shape, labels, message):
    with pytest.raises(ValueError, match=message):
        MemoryLoader(np.zeros(shape, np.uint8), np.array(labels), ("a", "b"))


# The order of examples.


# Held in memory.


def encoded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def picture(number, channels=3, size=(4, 5)):
    image = np.random.default_rng(number).integers(0, 256, (*size, channels), np.uint8)
    return image if channels == 3 else image[..., 0]


def stored(images, classes=("a", "b")):
    return ArraySource(images, np.arange(len(images)) % 2, classes, "set.parquet")


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_one_size_are_decoded(channels):
    source = load_into_memory(stored([encoded(picture(n, channels)) for n in range(6)]))
    assert source.image_shape == (4, 5, channels) and source.num_examples == 6 and source.resize == 4
    expected = np.stack([picture(n, channels) for n in range(6)]).reshape(6, 4, 5, channels)
    np.testing.assert_array_equal(source.images, expected)
    np.testing.assert_array_equal(source.labels, [0, 1] * 3)
    assert source.labels.dtype == np.int32 and source.classes == ("a", "b") and not source.skipped


@pytest.mark.parametrize("colourful", [[0], [3], [5], [1, 2]])
def test_grey_and_coloured_images_become_three_channels(colourful):
    """In whichever order they come."""
    images = [picture(n, 3 if n in colourful else 1) for n in range(6)]
    source = load_into_memory(stored([encoded(image) for image in images]))
    expected = [image if image.ndim == 3 else np.stack([image] * 3, -1) for image in images]
    np.testing.assert_array_equal(source.images, expected)


def test_examples_have_names_also_behind_one_that_was_skipped():
    source = load_into_memory(stored([encoded(picture(0)), b"broken", encoded(picture(2))]), skip_unreadable=True)
    assert [source.name(i) for i in range(2)] == ["set.parquet, image 0", "set.parquet, image 2"]
    assert list(source.skipped) == ["set.parquet, image 1"]


def test_channels_are_made_on_request():
    grey, colour = ([encoded(picture(n, channels)) for n in range(3)] for channels in (1, 3))
    assert load_into_memory(stored(grey), channels=3).image_shape == (4, 5, 3)
    source = load_into_memory(stored(colour), channels=1)
    assert source.image_shape == (4, 5, 1)
    luma = np.stack([picture(n) for n in range(3)]) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(source.images[..., 0], luma, atol=1)
    pixels = np.stack([picture(n) for n in range(3)])
    np.testing.assert_array_equal(load_into_memory(stored(pixels), channels=1).images, source.images)


def test_pixels_are_taken_as_they_are():
    images = np.stack([picture(n) for n in range(4)])
    for channels in (None, 3):
        source = load_into_memory(stored(images), channels=channels)
        assert source.images is images and source.labels.dtype == np.int32


def test_images_that_differ_in_size_are_named():
    images = [encoded(picture(n)) for n in range(3)] + [encoded(picture(3, size=(7, 6)))]
    with pytest.raises(ValueError) as caught:
        load_into_memory(stored(images))
    assert str(caught.value) == (
        "images differ in size: set.parquet, image 0 has 5 x 4 pixels, set.parquet, image 3 6 x 7; "
        "image_size=128, or another size, crops them to one"
    )


def test_an_unreadable_image_stops_or_is_skipped_and_counted():
    images = [encoded(picture(n, 1)) for n in range(6)]
    images[0], images[4] = b"", images[4][:-30]
    with pytest.raises(UnreadableImage, match="^set.parquet, image 0: the file is empty"):
        load_into_memory(stored(images))
    source = load_into_memory(stored(images), skip_unreadable=True)
    assert source.num_examples == 4 and list(source.skipped) == ["set.parquet, image 0", "set.parquet, image 4"]
    assert all(message.startswith(name) for name, message in source.skipped.items())
    np.testing.assert_array_equal(source.images[..., 0], [picture(n, 1) for n in (1, 2, 3, 5)])
    np.testing.assert_array_equal(source.labels, [1, 0, 1, 1])
    assert sum(batch["mask"].sum() for batch in source.eval_batches(3)) == 4
    with pytest.raises(ValueError, match="none of 2 images could be read: set.parquet, image 0: the file is empty"):
        load_into_memory(stored([b"", b"text"]), skip_unreadable=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_more_than_fits_is_told_before_it_is_taken(monkeypatch, channels):
    examples = stored([encoded(picture(n, channels)) for n in range(6)])
    monkeypatch.setattr(memory, "MEMORY", 6 * 4 * 5 * channels)
    assert load_into_memory(examples).num_examples == 6
    monkeypatch.setattr(memory, "MEMORY", 6 * 4 * 5 * channels - 1)
    monkeypatch.setattr(np, "empty", lambda shape, *_: pytest.fail("taken") if math.prod(shape) else np.zeros(shape))
    with pytest.raises(ValueError) as caught:
        load_into_memory(examples)
    assert str(caught.value) == (
        "6 images of 5 x 4 pixels are too many for memory; with image_size=224, or another size, they are decoded as "
        "they are needed"
    )


def test_a_label_out_of_range_is_an_error():
    with pytest.raises(ValueError, match=r"expected labels from 0 to 0, got \[0 1\]"):
        load_into_memory(stored([encoded(picture(n)) for n in range(2)], classes=("a",)))


@settings(deadline=None, derandomize=True)
@given(n=st.integers(1, 60), each=st.integers(1, 7), processes=st.sampled_from([1, 2, 3]))
def test_shares_of_several_processes_are_the_batches_of_one(n, each, processes):
    """For set sizes and batch sizes that do not divide one another: each example once."""
    source = MemoryLoader(np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1), np.zeros(n, np.int32), ("a",))
    size = each * processes

    def joined(share_of):
        parts = [list(share_of((i, processes))) for i in range(processes)]
        return [
            {k: np.concatenate([part[k] for part in batch]) for k in batch[0]} for batch in zip(*parts, strict=True)
        ]

    together = joined(lambda share: source.eval_batches(size, share=share))
    whole = list(source.eval_batches(size))
    seen = np.concatenate([batch["image"][batch["mask"] > 0].ravel() for batch in together])
    np.testing.assert_array_equal(seen, np.arange(n))
    if n >= size:
        together += joined(lambda share: islice(source.batches(3, 5, batch_size=size, share=share), 4))
        whole += islice(source.batches(3, 5, batch_size=size), 4)
    for one, other in zip(together, whole, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_batch_that_cannot_be_shared_is_an_error():
    source = MemoryLoader(np.zeros((9, 1, 1, 1), np.uint8), np.zeros(9, np.int32), ("a",))
    with pytest.raises(ValueError, match="a batch of 9 cannot be shared evenly by 2 processes"):
        next(source.batches(0, batch_size=9, share=(0, 2)))


def test_a_balanced_source_serves_by_that_order():
    images = np.arange(13, dtype=np.uint8).reshape(13, 1, 1, 1)
    source = MemoryLoader(images, np.repeat([0, 1], [10, 3]).astype(np.int32), ("a", "b"), balance=True)
    batch = next(source.batches(3, 2, batch_size=6))
    np.testing.assert_array_equal(batch["image"].ravel(), source.order(3, 6).batch(2))
    assert type(dataclasses.replace(source, balance=False).order(3, 6)) is ShuffleSampler


@pytest.mark.parametrize("image_size", [None, 4])
def test_labels_that_are_rows_are_served_as_they_are(image_size):
    labels = np.array([[0.5, 1], [2, 3], [4, 5]], np.float32)
    dataset = StoredDataset("set", {"train": ArraySource(np.zeros((3, 4, 4, 1), np.uint8), labels, ("a", "b"), "x")})
    source = open_loader(dataset, "train", image_size=image_size, threads=1)
    first, last = source.eval_batches(2)
    assert first["label"].dtype == np.float32 and last["mask"].tolist() == [1, 0]
    np.testing.assert_array_equal(first["label"], labels[:2])
    np.testing.assert_array_equal(last["label"][0], labels[2])
    assert next(source.batches(0, batch_size=2))["label"].shape == (2, 2)
    with pytest.raises(ValueError, match="balance=True is for one class per image"):
        dataclasses.replace(source, balance=True).order(0, 2)
