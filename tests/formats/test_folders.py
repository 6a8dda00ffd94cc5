"""Folders of images, and the folders of their splits."""

import json

import pytest
from pictures import listed, open_all, pictures, write

from resnet_jax.formats import open_path


def test_a_folder_per_class_has_its_images_in_order_of_name(tmp_path):
    pictures(tmp_path, "cat/b.JPG", "cat/a.png", "dog/deep/down/c.Jpeg", "dog/b.webp", ".git/x.png", "cat/.hidden.png")
    pictures(tmp_path, "dog/.deep/y.png", "cat/notes.txt", "readme.md", "dog/thumbs.db")
    for run in ("run1", "dog/run2"):  # a run's folder has pictures too
        pictures(tmp_path, f"{run}/evaluation/confusion.png")
        (tmp_path / run / "config.json").write_text('{"config": {}, "versions": {}}')
    data = open_path(tmp_path)
    assert data.splits == {"train": 4}
    train = data.examples("train")
    assert train.classes == ("cat", "dog")
    assert listed(train, tmp_path) == [
        ("cat/a.png", 0),
        ("cat/b.JPG", 0),
        ("dog/b.webp", 1),
        ("dog/deep/down/c.Jpeg", 1),
    ]
    assert train[0] == ((tmp_path / "cat/a.png").read_bytes(), 0)
    assert open_path(str(tmp_path)).splits == data.splits


@pytest.mark.parametrize(
    "names, splits",
    [
        ("train/a/0 train/b/1 val/a/2 val/b/3", {"train": 2, "val": 2}),
        ("train/a/0 train/b/1 test/b/3", {"train": 2, "test": 1}),
        ("train/a/0 train/b/1 validation/a/2 test/b/3 test/b/4", {"train": 2, "validation": 1, "test": 2}),
        ("train/a/0 train/b/1", {"train": 2}),
    ],
)
def test_folders_of_splits(tmp_path, names, splits):
    """A class that is missing outside of train keeps its number."""
    data = open_path(pictures(tmp_path, *(f"{name}.png" for name in names.split())))
    assert data.splits == splits
    for split in splits:
        part = data.examples(split)
        assert part.classes == ("a", "b")
        assert all(label == "ab".index(part.paths[i].parent.name) for i, label in enumerate(part.labels))


@pytest.mark.parametrize(
    "names, message",
    [
        ("train/a/0.png val/a/1.png val/c/2.png", "/val has classes that .*/train has not: c$"),
        ("a/0.png b/notes.txt", "^class folder .*/b has no images"),
        ("train/a/0.png train/b/x.txt", "^class folder .*/train/b has no images"),
        ("train/a/0.png val/a/x.txt", "/val has no images$"),
        ("Cat/0.png cat/1.png dog/2.png", "has classes whose names differ by case alone: Cat, cat$"),
        (
            "0.png 1.PNG",
            "has images, but no sub-folder of them per class, and no metadata.csv of labels; labels='FILE'",
        ),
        ("notes.txt", "has no images; expected a folder of images, of IDX"),
        ("val/a/0.png", "has a folder 'val', but none of training images"),
    ],
)
def test_folders_that_are_no_dataset_give_one_line(tmp_path, names, message):
    pictures(tmp_path, *names.split())
    if len(list(tmp_path.iterdir())) < len({name.split("/")[0] for name in names.split()}):
        pytest.skip("this file system does not tell Cat from cat")
    with pytest.raises(ValueError, match=message) as caught:
        open_all(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_folder_called_like_a_split_among_classes_is_a_class_or_named(tmp_path):
    pictures(tmp_path / "classes", "bus/1.png", "train/1.png", "valid/1.png")
    assert open_path(tmp_path / "classes").examples("train").classes == ("bus", "train", "valid")
    pictures(tmp_path / "mixed", "train/steam/1.png", "bus/1.png")
    with pytest.raises(ValueError, match="mixed has the split 'train' beside bus; expected a folder per class"):
        open_path(tmp_path / "mixed")


@pytest.mark.parametrize(
    "train, test, name",
    [
        ("Train", "Test", "test"),
        ("training", "testing", "test"),
        ("training_set", "test_set", "test"),
        ("TRAIN", "VAL", "val"),
        ("train_set", "val_set", "val"),
        ("train2017", "val2017", "val"),
        ("Training", "Validation", "validation"),
        ("train-images", "dev", "validation"),
        ("train", "test1", "test"),
        ("seg_train/seg_train", "seg_test/seg_test", "test"),
        ("train", "evaluation", "validation"),
        ("train", "valid", "valid"),
    ],
)
def test_splits_have_many_names(tmp_path, train, test, name):
    pictures(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png", f"{test}/dog/1.png", "annotations/cat.xml")
    data = open_all(tmp_path)
    assert data.splits == {"train": 2, name: 1} and data.examples("train").classes == ("cat", "dog")
    assert data.notes == ("folders beside those of splits are not read: annotations",)


@pytest.mark.parametrize(
    "names, reason",
    [
        ("test/images/1.png test/images/2.png", "/test has 2 images, but no sub-folder of them per class$"),
        ("test/1.png test/2.png", "/test has 2 images, but no sub-folder of them per class$"),
        ("test/a/1.png  test/zebra/1.png", "/test has classes that .*/train has not: zebra$"),
        ("test/a/x.txt", "/test has no images$"),
    ],
)
def test_a_split_that_cannot_be_used_is_reported_when_it_is_asked_for(tmp_path, names, reason):
    data = open_path(pictures(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", *names.split()))
    assert len(data.examples("train")) == 2 and len(data.examples("val")) == 1
    assert ("test" in data.splits) == ("1.png test" not in names)  # a split without labels is none to test on
    with pytest.raises(ValueError, match=reason):
        data.examples("test")


def test_each_split_may_have_its_own_file_and_a_split_without_labels_is_not_used(tmp_path):
    pictures(tmp_path, "train/a.png", "train/b.png", "val/a.png", "test/a.png")
    write(tmp_path / "train/metadata.csv", "file_name,label\na.png,cat\nb.png,dog\n")
    write(tmp_path / "val/metadata.jsonl", json.dumps({"file_name": "a.png", "label": "dog"}))
    data = open_all(tmp_path)
    assert data.splits == {"train": 2, "val": 1} and list(data.examples("val").labels) == [1]
    assert any(note.startswith("split 'test' is not used: ") for note in data.notes)
    write(tmp_path / "test/metadata.csv", "file_name,label\na.png,-1\n")
    for opened in (data, open_all(tmp_path)):
        with pytest.raises(ValueError, match="/test has no labels, neither class folders nor metadata.csv"):
            opened.examples("test")
    write(tmp_path / "val/metadata.jsonl", json.dumps({"file_name": "a.png", "label": "owl"}))
    with pytest.raises(ValueError, match="/val has classes that .*/train has not: owl"):
        open_path(tmp_path).examples("val")
    rows = "train/a.png,cat\ntrain/b.png,dog\ntest/a.png,\n"
    write(tmp_path / "metadata.csv", "file_name,label\n" + rows)
    data = open_all(tmp_path)
    assert (
        data.splits == {"train": 2}
        and f"split 'test' is not used: {tmp_path}/metadata.csv has no labels of 'test'" in data.notes
    )
