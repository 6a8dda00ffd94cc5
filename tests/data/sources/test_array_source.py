"""Images in memory."""

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource


def test_examples_are_named_by_their_place_in_the_file_however_often_they_are_selected():
    pixels = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    for images in (pixels, [bytes([n]) for n in range(4)]):
        source = ArraySource(images, np.array([0, 1, 0, 1]), ("a", "b"), "set.npz")
        part = source.take(np.array([3, 1, 0])).take(np.array([2, 0]))
        assert [part[i] for i in range(len(part))] == [(images[0], 0), (images[3], 1)]
        assert [part.name(i) for i in range(2)] == ["set.npz, image 0", "set.npz, image 3"]


def test_places_may_be_names():
    items = [np.full((length, 1), length, np.float32) for length in (2, 1, 3)]
    places = np.array(["line 4", "line 12", "line 13"])
    source = ArraySource(items, np.array([0, 1, 0]), ("a", "b"), "set.csv", places)
    part = source.take(np.array([2, 1]))
    assert [part.name(i) for i in range(2)] == ["set.csv, line 13", "set.csv, line 12"]
    assert [len(part[i][0]) for i in range(2)] == [3, 1]


def test_a_row_of_labels_is_one_label():
    rows = np.eye(2, dtype=np.float32)
    source = ArraySource([b"x", b"y"], rows, ("a", "b"), "set.npz")
    np.testing.assert_array_equal(source[1][1], rows[1])
    assert source.identity(np.array([0, 1]), "contents").labels[0] != source.identity(np.array([1]), "names").labels[0]
