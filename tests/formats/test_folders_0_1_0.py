"""Folders as version 0.1.0 read them."""

import pytest
from pictures import listed, pictures

from resnet_jax.formats import open_path
from resnet_jax.formats.folders_0_1_0 import open_folders_as_0_1_0


def test_classes_are_in_the_order_of_their_letters_and_images_known_by_their_extension(tmp_path):
    pictures(tmp_path, "2/a.png", "10/b.png", "10/c", "10/.d.png")
    train = open_path(tmp_path, as_0_1_0=True).examples("train")
    assert train.classes == ("10", "2") and listed(train, tmp_path) == [("10/b.png", 0), ("2/a.png", 1)]
    assert open_path(tmp_path).examples("train").classes == ("2", "10")


def test_splits_have_one_name_each(tmp_path):
    pictures(tmp_path / "S", "train/a/1.png", "train/b/1.png", "val/b/1.png")
    data = open_path(tmp_path / "S", as_0_1_0=True)
    assert data.splits == {"train": 2, "val": 1} and data.examples("val").labels.tolist() == [1]
    pictures(tmp_path / "T", "Train/a/1.png", "Train/b/1.png", "val/b/1.png")
    with pytest.raises(ValueError, match="has the folders Train, val; expected train and"):
        open_folders_as_0_1_0(tmp_path / "T")
    assert open_path(tmp_path / "T", as_0_1_0=True).splits == {"train": 2, "val": 1}  # no run of 0.1.0 had it
