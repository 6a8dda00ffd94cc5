"""Arrays of images and labels, as checked splits."""

import numpy as np
import pytest

from resnet_jax.formats.arrays import UnreadSplit, as_source, column_names, missing_labels, stored

IMAGES = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)


def test_grey_images_get_a_channel_and_labels_are_counted_from_the_first():
    source = as_source(IMAGES, np.array([[1], [3], [2]]), "a", first=1)
    assert source.images.shape == (3, 4, 4, 1) and source.labels.tolist() == [0, 2, 1]
    assert source.classes == ("1", "2", "3")


def test_a_split_is_read_at_its_first_use_and_checked_by_the_classes_of_train():
    reads = []

    def split(name, labels):
        def read(classes):
            reads.append((name, classes))
            return as_source(IMAGES, np.array(labels), name, classes)

        return UnreadSplit(3, read)

    data = stored("set", {"test": split("test", [0, 1, 1]), "train": split("train", [0, 1, 0])}, ("a remark",))
    assert data.splits == {"test": 3, "train": 3} and not reads
    assert data.examples("test").labels.dtype == np.int32 and data.notes == ("a remark",)
    assert reads == [("train", None), ("test", ("0", "1"))]
    data.examples("test"), data.examples("train")
    assert len(reads) == 2


def test_labels_without_names_have_no_gaps():
    data = stored("set", {"train": UnreadSplit(3, lambda _: as_source(IMAGES, np.array([0, 3, 0]), "a.npz"))})
    with pytest.raises(ValueError, match="a.npz: no image has label 1, 2, but the labels go up to 3; expected 0, 1, 2"):
        data.examples("train")


def test_names_of_columns_without_any():
    assert column_names(2, "multi-hot") == ("0", "1") and column_names(1, "targets") == ("target",)
    assert column_names(2, "targets") == ("target0", "target1")


@pytest.mark.parametrize(
    "labels, kind, expected",
    [
        (np.full(3, -1), "class", "-1"),
        (np.full(3, -1), "targets", ""),
        (np.full(3, np.nan), "targets", "NaN"),
        (np.array([-1, 0]), "class", ""),
        (np.array([]), "class", ""),
    ],
)
def test_a_value_that_stands_for_every_label_means_none(labels, kind, expected):
    assert missing_labels(labels, kind) == expected
