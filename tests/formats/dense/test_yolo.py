"""YOLO's text files: boxes, polygons, splits; and what is wrong in them."""

from itertools import pairwise

import numpy as np
import pytest
from dense_sets import HEIGHT, WIDTH, write_pictures
from PIL import Image

from resnet_jax.data import open_dataset

BOX, POLYGON = "1 0.25 0.25 0.25 0.25", "0 0.125 0.25 0.5 0.25 0.5 0.5 0.125 0.5"


def write_texts(folder, **lines):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in lines.items():
        (folder / f"{name}.txt").write_text(text)


@pytest.mark.parametrize("labels", ["labels", "images", "elsewhere"])
def test_boxes_and_polygons(tmp_path, labels):
    """In `labels`, beside the images, or in a folder that is named; an image without a text file has no objects."""
    write_pictures(tmp_path / "images", ("a", "b", "c"))
    write_texts(tmp_path / labels, a=f"{BOX}\n\n", b=f"{POLYGON}\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n\n")
    options = {"annotations": labels} if labels == "elsewhere" else {}
    source = open_dataset(path=str(tmp_path), label_kind="boxes", **options).examples("train")
    assert source.classes == ("cat", "dog") and len(source) == 3 and len(source.annotations(2)) == 0
    boxes, polygon = source.annotations(0), source.annotations(1)
    np.testing.assert_array_equal(boxes.boxes, [[4, 3, 12, 9]])
    assert boxes.labels.tolist() == [1] and boxes.size == (HEIGHT, WIDTH) and boxes.masks is None
    np.testing.assert_array_equal(polygon.boxes, [[4, 6, 16, 12]])
    assert polygon.masks[0].decode().sum() == 72 and polygon.masks[0].size == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(source.presence(), [[0, 1], [1, 0], [0, 0]])


def test_a_yaml_names_classes_and_splits(tmp_path):
    """Names as a list or by number; folders, lists of files, and an exporter's "../train/images"."""
    for split in ("train", "valid"):
        write_pictures(tmp_path / split / "images", ("a", "b"))
        write_texts(tmp_path / split / "labels", a=BOX, b=BOX)
    (tmp_path / "list.txt").write_text("valid/images/b.png\n")
    for names, train, val in (
        ("[cat, dog]", "../train/images", "../valid/images"),
        ("{1: dog, 0: cat}", "train/images", "list.txt"),
    ):
        (tmp_path / "data.yaml").write_text(f"train: {train}\nval: {val}\nnc: 2\nnames: {names}\n")
        dataset = open_dataset(path=str(tmp_path), label_kind="boxes")
        assert dataset.splits == {"train": 2, "val": 1 if val == "list.txt" else 2}
        assert dataset.examples("train").classes == ("cat", "dog")
        assert dataset.examples("val").annotations(0).labels.tolist() == [1]
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert open_dataset(path=str(tmp_path), label_kind="boxes").splits == {"train": 2, "valid": 2}


def test_polygons_are_painted_and_shares_are_of_the_upright_image(tmp_path):
    image = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "a.png", exif=exif)
    write_texts(tmp_path, a=POLYGON, classes="cat\ndog")
    boxes = open_dataset(path=str(tmp_path), label_kind="boxes").examples("train").annotations(0)
    assert boxes.size == (WIDTH, HEIGHT) and boxes.boxes.tolist() == [[3, 8, 12, 16]]
    label = open_dataset(path=str(tmp_path), label_kind="pixels").examples("train").label(0)
    assert label.shape == (WIDTH, HEIGHT) and (label[8:16, 3:12] == 1).all() and label.sum() == 72


INVALID = {
    "four values": ("1 0.5 0.5 0.2", "line 2: expected 5 values .class cx cy w h., or a class and 3 points"),
    "two points": ("1 0.5 0.5 0.2 0.2 0.1", "got 6 values"),
    "text": ("cat 0.5 0.5 0.2 0.2", "line 2: expected numbers, got 'cat 0.5"),
    "class": ("2 0.5 0.5 0.2 0.2", "line 2: class 2; the 2 classes are 0 to 1"),
    "half a class": ("0.5 0.5 0.5 0.2 0.2", "line 2: class 0.5; the 2 classes"),
    "nan": ("1 nan 0.5 0.2 0.2", "line 2: expected finite numbers"),
    "pixels": ("1 12 10 8 8", "line 2: expected shares of the image from 0 to 1, got 12 10 8 8: pixels"),
    "no area": ("1 0.5 0.5 0 0.2", "line 2: the box .* has no area"),
    "beyond": ("1 0.9 0.5 0.4 0.2", "line 2: the box 0.7 0.4 1.1 0.6 .* reaches beyond its image"),
    "outside": ("1 1.5 0.5 0.4 0.2", "line 2: the box .* reaches beyond its image"),
    "repeated": (BOX, "line 2: repeats an earlier line"),
}


@pytest.mark.parametrize(("line", "message"), INVALID.values(), ids=INVALID)
def test_an_invalid_line_is_named_or_skipped(tmp_path, line, message):
    write_pictures(tmp_path, ("a",))
    write_texts(tmp_path, a=f"{BOX}\n{line}\n", classes="cat\ndog")
    with pytest.raises(ValueError, match=f"a.txt, .*{message}.*; skip_invalid=True ignores"):
        open_dataset(path=str(tmp_path), label_kind="boxes")
    dataset = open_dataset(path=str(tmp_path), label_kind="boxes", skip_invalid=True)
    assert len(dataset.notes) == 1 and "a.txt, line 2" in dataset.notes[0]
    assert len(dataset.examples("train").annotations(0)) == (2 if "1.1" in message else 1)


# Each of the lists b to h has the one before nine times: h stands for 9**8 texts.
LISTS = ("[x, x, x]", "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefgh")))


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("train: images\nnames: [a, a]", "data.yaml: expected one name a class, each once"),
        ("train: images\nnames: {0: a, 2: b}", "data.yaml: expected names of the classes 0 to 1"),
        ("train: nowhere\nnames: [a, b]", "data.yaml: train is 'nowhere', which is not there"),
        ("names: [a, b]", "data.yaml: expected images to train on"),
        ("train: [", "data.yaml is not valid YAML"),
        ("train: 5\nnames: [a]", "data.yaml: expected train to be a folder or a list of them, got 5"),
        ("train: .\nnc: 1000000000", "data.yaml: expected nc of 1 to 100,000 classes, got 1000000000"),
        (f"a: &a {LISTS[0]}\n{LISTS[1]}names: [*h]\ntrain: .", "data.yaml: expected a list of names, got one that has"),
    ],
)
def test_an_invalid_yaml_is_named(tmp_path, yaml, message):
    write_pictures(tmp_path / "images", ("a",))
    write_texts(tmp_path / "labels", a=BOX)
    (tmp_path / "data.yaml").write_text(yaml)
    with pytest.raises(ValueError, match=message):
        open_dataset(path=str(tmp_path), label_kind="boxes")
