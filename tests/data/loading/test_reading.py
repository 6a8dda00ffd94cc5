"""Every image read once, and the images of each class."""

import numpy as np

from resnet_jax.data.loading.reading import class_counts, read_all
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.subsets import Subset


def test_labels_that_the_storage_does_not_know_are_not_read_to_be_counted():
    class Unread:
        classes = ("a", "b")

        def __len__(self):
            return 3

    assert class_counts(StreamingLoader(Unread(), 8, 8), 2) is None
    known = Subset(
        ArraySource(np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 1]), ("a", "b"), "x"), np.array([0, 2])
    )
    assert class_counts(StreamingLoader(known, 8, 8), 2).tolist() == [1, 1]


def test_every_image_is_read_in_order_and_its_label_checked():
    images = np.zeros((300, 4, 4, 1), np.uint8)
    result = list(
        read_all(ArraySource(images, np.arange(300) % 3 - (np.arange(300) == 7), ("a", "b"), "x.npz"), threads=2)
    )
    assert [label for label, _ in result[:8]] == [0, 1, 2, 0, 1, 2, 0, 0]
    assert result[2][1] == "x.npz, image 2: label 2; labels of 2 classes are 0 to 1" and result[0][1] is None
    assert sum(reason is not None for _, reason in result) == 100
