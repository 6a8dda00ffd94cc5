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


def test_a_row_of_labels_is_one_label():
    rows = np.eye(2, dtype=np.float32)
    source = ArraySource([b"x", b"y"], rows, ("a", "b"), "set.npz")
    np.testing.assert_array_equal(source[1][1], rows[1])
    assert source.identity(np.array([0, 1]), "contents").labels[0] != source.identity(np.array([1]), "names").labels[0]
