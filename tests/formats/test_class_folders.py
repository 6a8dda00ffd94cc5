"""Folders of classes: which are, which hardly are, and their order."""

import pytest
from pictures import listed, open_all, pictures

from resnet_jax.formats import open_path
from resnet_jax.formats.listing import subfolders
from resnet_jax.formats.splits import split_of


@pytest.mark.parametrize(
    "names, message",
    [
        ("Train/a/1 train_set/a/1", "Train and train_set both name the split 'train'; expected one of them"),
        ("fold1/a/1 fold1/b/1 fold2/a/1 fold2/b/1", "fold1, fold2 look like splits: each has the folders a, b; expec"),
        ("seg_one/seg_one/a/1 seg_one/seg_one/b/1 seg_two/seg_two/a/1 seg_two/seg_two/b/1", "look like splits"),
        ("cat/train/1 cat/val/1 dog/train/1 dog/val/1", "each of cat, dog has the splits train, val; expected"),
        ("PetImages/cat/1 PetImages/dog/1", "has one folder of folders; did you mean .*/PetImages.$"),
        ("dataset/train/a/1 dataset/val/a/1", "has one folder of folders; did you mean .*/dataset.$"),
        ("train/1 test1/1", "/train has images, but no sub-folder of them per class, and no metadata.csv"),
        ("train/fold1/a/1 train/fold1/b/1 train/fold2/a/1 train/fold2/b/1", "/train: fold1, fold2 look like splits"),
    ],
)
def test_folders_that_are_no_classes_give_one_line(tmp_path, names, message):
    pictures(tmp_path, *(f"{name}.png" for name in names.split()))
    with pytest.raises(ValueError, match=message):
        open_all(tmp_path)
    folders = subfolders(tmp_path)
    if not any(map(split_of, folders)):  # whoever names them means them
        assert open_all(tmp_path, classes=tuple(folders)).examples("train").classes == tuple(folders)


def test_a_folder_of_images_in_each_class_is_no_sign_of_splits(tmp_path):
    pictures(tmp_path, "n1/images/1.png", "n2/images/1.png", "n3/old/1.png", "n3/new/1.png", "n3/2.png")
    assert open_all(tmp_path).examples("train").classes == ("n1", "n2", "n3")


def test_classes_whose_images_all_lie_a_level_deeper_get_a_note(tmp_path):
    pictures(tmp_path / "D", "shapes/circle/1.png", "shapes/square/1.png", "other/cross/1.png", "other/ring/1.png")
    pictures(tmp_path / "S", "val/cat/1.png", "val/dog/1.png")
    pictures(tmp_path / "S/train", "cat/grey/1.png", "cat/red/1.png", "dog/big/1.png", "dog/small/1.png")
    for path, train, first in (("D", "D", "other"), ("S", "S/train", "cat")):
        (note,) = open_all(tmp_path / path).notes
        assert note.endswith(f"; did you mean {tmp_path / train / first}?")
    message = "classes are other, shapes, but images lie deeper, as in other/cross, shapes/circle; did you mean"
    assert open_all(tmp_path / "D").notes[0].startswith(message)
    pictures(tmp_path / "D", "shapes/1.png")  # a class whose images do not
    assert open_all(tmp_path / "D").notes == ()


def test_a_name_in_two_unicode_forms_is_one_class(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    data = open_all(pictures(tmp_path / "a", f"train/{composed}/1.png", "train/tea/1.png", f"val/{decomposed}/2.png"))
    assert data.examples("train").classes == data.examples("val").classes == (composed, "tea")
    assert list(data.examples("val").labels) == [0]
    pictures(tmp_path / "b", f"{composed}/1.png", "tea/1.png")
    if len(subfolders(pictures(tmp_path / "b", f"{decomposed}/1.png"))) == 3:  # else the file system composes
        with pytest.raises(ValueError, match="has classes whose names differ by Unicode form alone: "):
            open_path(tmp_path / "b")


def test_classes_that_are_numbers_are_in_their_order_and_images_in_that_of_the_files(tmp_path):
    train = open_all(pictures(tmp_path, "0/1.png", "1/1.png", "10/1.png", "2/1.png")).examples("train")
    assert train.classes == ("0", "1", "2", "10")
    assert listed(train, tmp_path) == [("0/1.png", 0), ("1/1.png", 1), ("10/1.png", 3), ("2/1.png", 2)]
