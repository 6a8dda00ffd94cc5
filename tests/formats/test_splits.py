"""Names of splits."""

import pytest

from resnet_jax.formats.splits import by_split, shared_folders, split_in, split_of


@pytest.mark.parametrize(
    "name, split",
    [
        ("Train", "train"),
        ("training_set", "train"),
        ("train2017", "train"),
        ("images_train", "train"),
        ("val", "val"),
        ("dev", "validation"),
        ("Testing", "test"),
        ("trainer", None),
        ("contest", None),
        ("pets-train", None),
    ],
)
def test_a_folder_names_a_split(name, split):
    assert split_of(name) == split


def test_a_word_of_a_name_may_name_the_split():
    assert split_in("pets-train-00000-of-00002") == "train" and split_in("seg_test") == "test"
    assert split_in("latest") is None


def test_splits_are_listed_with_training_first():
    assert list(by_split(["test", "seg_train", "cats"]).items()) == [("train", "seg_train"), ("test", "test")]
    with pytest.raises(ValueError, match="Train and train_set both name the split 'train'; expected one of them"):
        by_split(["train_set", "Train"])


def test_two_folders_in_every_branch_are_shared():
    assert shared_folders({"one": {"a", "b", "c"}, "two": {"b", "a"}}) == ["a", "b"]
    assert shared_folders({"one": {"a", "b"}, "two": {"a"}}) == shared_folders({"one": {"a", "b"}}) == []
