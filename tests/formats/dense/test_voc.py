"""Pascal VOC: XML boxes, masks, lists; and what is wrong in them."""

import numpy as np
import pytest
from dense_sets import HEIGHT, WIDTH, voc_xml, write_mask, write_pictures, write_voc

from resnet_jax.data import open_dataset

IMAGES = {"a": [("dog", 5, 3, 12, 8), ("cat", 1, 1, WIDTH, HEIGHT, "difficult")], "b": [("cat", 2, 2, 9, 9)], "c": []}


@pytest.mark.parametrize("folder", [".", "VOC2012", "VOCdevkit/VOC2012"])
def test_boxes_and_lists(tmp_path, folder):
    """Boxes count from 1 and include their last pixel; difficult objects are crowd; test.txt has no annotations."""
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    lists = {"train": ["a", "c"], "val": ["b"], "trainval": ["a", "b", "c"], "test": ["z"], "cat_train": ["a"]}
    write_voc(tmp_path / folder, IMAGES, lists)
    dataset = open_dataset(path=str(tmp_path), label_kind="boxes")
    assert dataset.splits == {"train": 2, "trainval": 3, "val": 1} and dataset.notes == ()
    source = dataset.examples("train")
    objects = source.annotations(0)
    assert source.classes == ("cat", "dog") and objects.labels.tolist() == [1, 0] and objects.masks is None
    np.testing.assert_array_equal(objects.boxes, [[4, 2, 12, 8], [0, 0, WIDTH, HEIGHT]])
    assert objects.crowd.tolist() == [False, True] and objects.area.tolist() == [48, WIDTH * HEIGHT]
    assert len(source.annotations(1)) == 0


def test_a_folder_of_xml_files_beside_one_of_images_or_among_them(tmp_path):
    write_pictures(tmp_path / "images", IMAGES)
    for name, objects in IMAGES.items():
        (tmp_path / "xml").mkdir(exist_ok=True)
        (tmp_path / "xml" / f"{name}.xml").write_text(voc_xml(name, objects))
    for options in ({"annotations": str(tmp_path / "xml")}, {"annotations": "xml"}, {}):
        dataset = open_dataset(path=str(tmp_path), label_kind="boxes", **options)
        assert dataset.splits == {"train": 3} and dataset.examples("train").annotations(0).labels.tolist() == [1, 0]
    dataset = open_dataset(path=str(tmp_path / "images"), label_kind="boxes", annotations=str(tmp_path / "xml"))
    assert dataset.examples("train").name(2) == str(tmp_path / "images/c.png")


INVALID = {
    "xml": ("<annotation>", "a.xml: not valid XML"),
    "no area": (voc_xml("a", [("cat", 9, 3, 8, 9)]), "a.xml, object 1: the box 8 2 8 9 .* has no area"),
    "outside": (voc_xml("a", [("cat", 40, 3, 44, 9)]), "a.xml, object 1: the box .* lies outside its image"),
    "beyond": (voc_xml("a", [("cat", 20, 3, 44, 9)]), "a.xml, object 1: the box .* reaches beyond its image"),
    "number": (voc_xml("a", [("cat", "x", 3, 4, 9)]), "object 1: expected a finite number as bndbox/xmin, got 'x'"),
    "nan": (voc_xml("a", [("cat", 1, "nan", 4, 9)]), "object 1: expected a finite number as bndbox/ymin, got 'nan'"),
    "name": (voc_xml("a", [("", 1, 1, 4, 9)]), "a.xml, object 1: expected a name"),
    "size": (voc_xml("a", [], (0, 0)), "a.xml: expected an image with sides of 1 to .*, got width 0.0 and height 0.0"),
    "large": (voc_xml("a", [], ("1e300", 9)), "a.xml: expected an image with sides of 1 to 65,535 pixels"),
    "encoding": ('<?xml version="1.0" encoding="bogus"?><a/>', "a.xml: not valid XML: unknown encoding: bogus"),
    "entities": (
        '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + voc_xml("a", [("&a;", 1, 1, 4, 9)]),
        "a.xml: not valid XML: undefined entity &a;",
    ),
    "no size": ("<annotation><object/></annotation>", "a.xml: expected a finite number as size/width, got None"),
}


@pytest.mark.parametrize(("text", "message"), INVALID.values(), ids=INVALID)
def test_invalid_xml_is_named_or_skipped(tmp_path, text, message):
    write_voc(tmp_path, IMAGES)
    (tmp_path / "Annotations/a.xml").write_text(text)
    with pytest.raises(ValueError, match=f"{message}.*; skip_invalid=True ignores"):
        open_dataset(path=str(tmp_path), label_kind="boxes")
    dataset = open_dataset(path=str(tmp_path), label_kind="boxes", skip_invalid=True)
    assert len(dataset.notes) == 1 and "a.xml" in dataset.notes[0]


def test_missing_files_and_classes_are_named(tmp_path):
    write_voc(tmp_path, IMAGES, {"train": ["b", "y"], "val": ["a"]})
    (tmp_path / "JPEGImages/b.png").unlink()
    (tmp_path / "Annotations/d.xml").write_text(voc_xml("c", [("cat", 1, 1, 4, 9)]))
    (tmp_path / "ImageSets/Main/train.txt").write_text("b\n\ny\nd\n")
    with pytest.raises(ValueError, match="b.xml: no image 'b' below .*train.txt, line 3: no annotation y.xml; .*"):
        open_dataset(path=str(tmp_path), label_kind="boxes")
    dataset = open_dataset(path=str(tmp_path), label_kind="boxes", skip_invalid=True)
    assert "a.xml, object 1: class 'dog' is not in the training split" in dataset.notes[0]
    assert dataset.splits == {"train": 1, "val": 1} and dataset.examples("val").annotations(0).labels.tolist() == [0]


def test_masks_have_the_classes_of_voc(tmp_path):
    write_voc(tmp_path, IMAGES)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3:6], mask[6] = 20, 255
    for name in ("a", "b"):
        write_mask(tmp_path / f"SegmentationClass/{name}.png", mask, colors=[3] * 768)
        write_mask(tmp_path / f"SegmentationObject/{name}.png", mask, colors=[3] * 768)
    source = open_dataset(path=str(tmp_path), label_kind="pixels").examples("train")
    assert len(source) == 2 and source.classes[0] == "background" and source.classes[20] == "tvmonitor"
    np.testing.assert_array_equal(source.label(0), mask)
    np.testing.assert_array_equal(np.flatnonzero(source.presence()[0]), [0, 20])
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("a\nc\n")
    with pytest.raises(ValueError, match="train.txt, line 2: no mask c.png in"):
        open_dataset(path=str(tmp_path), label_kind="pixels")
    assert open_dataset(path=str(tmp_path), label_kind="pixels", skip_invalid=True).splits == {"train": 1}
