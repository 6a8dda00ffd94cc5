"""COCO's JSON: objects, crowds, masks, splits; and what is wrong in it."""

import json

import numpy as np
import pytest
from dense_sets import HEIGHT, WIDTH, coco, write_coco, write_pictures

from resnet_jax.data import default_splits, open_dataset, open_loader
from resnet_jax.errors import DataError
from resnet_jax.images.rle import encode, to_coco

SQUARE = [4, 2, 12, 2, 12, 8, 4, 8]  # the corners of the box 4 2 12 8
NAMES = ("a", "b", "c")


@pytest.fixture
def root(tmp_path):
    write_pictures(tmp_path, NAMES)
    return tmp_path


def write(root, contents):
    (root / "instances.json").write_text(contents if isinstance(contents, str) else json.dumps(contents))


def test_objects_crowds_and_masks(root):
    """Polygons, run lengths as numbers and as text; ids with gaps; classes by id; an image without objects."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3:9, 5:9] = 1
    numbers = {"size": [HEIGHT, WIDTH], "counts": encode(mask).counts.tolist()}
    objects = [
        {"segmentation": [SQUARE, [20, 10, 24, 10, 24, 14]]},
        {"category_id": 90, "bbox": [5, 3, 4, 6], "segmentation": numbers, "iscrowd": 1},
        {"image_id": 7, "category_id": 90, "bbox": [5, 3, 4, 6], "segmentation": to_coco(encode(mask)), "area": None},
    ]
    write_coco(root / "instances.json", NAMES, objects)
    source = open_dataset(path=str(root), label_kind="boxes").examples("train")
    assert source.classes == ("cat", "dog") and [source.name(i)[-5:] for i in range(3)] == ["a.png", "b.png", "c.png"]
    first, none, last = (source.annotations(i) for i in range(3))
    np.testing.assert_array_equal(first.boxes, [[4, 2, 12, 8], [5, 3, 9, 9]])
    assert first.labels.tolist() == [0, 1] and first.crowd.tolist() == [False, True] and first.size == (HEIGHT, WIDTH)
    assert [one.area for one in first.masks] == [48 + 6, 24] and first.area.tolist() == [48, 48]
    np.testing.assert_array_equal(first.masks[1].decode(), mask)
    assert len(none) == 0 and none.boxes.shape == (0, 4) and last.area.tolist() == [24]
    np.testing.assert_array_equal(source.presence(), [[1, 1], [0, 0], [0, 1]])


def test_masks_are_painted_by_class_for_pixels(root):
    """Pixels of two classes are ignored, those of two objects of one class are not."""
    other = [8, 2, 16, 2, 16, 8, 8, 8]
    objects = [{"segmentation": [SQUARE]}, {"segmentation": [other]}, {"category_id": 90, "segmentation": [other]}]
    write_coco(root / "instances.json", NAMES, objects[:1] + objects[2:])
    source = open_dataset(path=str(root), label_kind="pixels").examples("train")
    assert source.classes == ("background", "cat", "dog")
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[2:8, 4:12], expected[2:8, 8:16], expected[2:8, 8:12] = 1, 2, 255
    np.testing.assert_array_equal(source.label(0), expected)
    write_coco(root / "instances.json", NAMES, objects[:2])
    label = open_dataset(path=str(root), label_kind="pixels").examples("train").label(0)
    assert (label[2:8, 4:16] == 1).all() and label.sum() == 72
    write_coco(root / "instances.json", NAMES, [{}, *objects])
    source = open_dataset(path=str(root), label_kind="pixels").examples("train")
    with pytest.raises(DataError, match=r"a.png: expected a mask for each object"):
        source.label(0)
    write_coco(root / "instances.json", NAMES, [{}])
    with pytest.raises(ValueError, match="has boxes without masks; expected masks, or label_kind='boxes'"):
        open_dataset(path=str(root), label_kind="pixels")


def test_a_file_per_split_in_any_of_its_layouts(tmp_path):
    """The layout of COCO, with equal names of images in both folders; two named files; a file in each folder."""
    for year in ("train2017", "val2017"):
        write_pictures(tmp_path / year, ("a", "b"))
        write_coco(tmp_path / f"annotations/instances_{year}.json", ("a", "b"), [{}])
    (tmp_path / "annotations/captions_val2017.json").write_text("{}")
    files = tuple(str(tmp_path / f"annotations/instances_{year}.json") for year in ("val2017", "train2017"))
    for annotations in (None, "annotations", files):
        dataset = open_dataset(path=str(tmp_path), label_kind="boxes", annotations=annotations)
        assert dataset.splits == {"train": 2, "val": 2} and default_splits(dataset, "train", None) == ("train", "val")
        for split, year in (("train", "train2017"), ("val", "val2017")):
            assert dataset.examples(split).name(1) == str(tmp_path / year / "b.png")
    for year in ("train2017", "val2017"):
        (tmp_path / f"annotations/instances_{year}.json").rename(tmp_path / year / "_annotations.coco.json")
    assert open_dataset(path=str(tmp_path), label_kind="boxes").splits == {"train": 2, "val": 2}
    joined = dataset.examples("train+val")
    assert len(joined) == 4 and joined.annotations(2).labels.tolist() == [0]
    assert joined.identity(np.arange(4), "contents").labels[0] == joined.identity(np.arange(4), "contents").labels[2]


RLE_OFF = {"size": [HEIGHT, WIDTH], "counts": [5, 5]}
INVALID = {
    "no area": ({"bbox": [4, 2, 0, 6]}, "annotation 1: the box 4 2 4 8 .* has no area"),
    "negative": ({"bbox": [4, 2, 3, -6]}, "annotation 1: the box .* has no area"),
    "outside": ({"bbox": [40, 2, 8, 6]}, "annotation 1: the box 40 2 48 8 .* lies outside its image of 32 x 24 pixels"),
    "beyond": ({"bbox": [20, 2, 30, 6]}, "annotation 1: the box 20 2 50 8 .* reaches beyond its image of 32 x 24"),
    "nan": ({"bbox": [float("nan"), 2, 3, 6]}, "annotation 1: expected a bbox of four finite numbers"),
    "infinite": ({"bbox": [1, 2, float("inf"), 6]}, "annotation 1: expected a bbox of four finite numbers"),
    "text": ({"bbox": ["1", 2, 3, 6]}, "annotation 1: expected a bbox of four finite numbers"),
    "three": ({"bbox": [1, 2, 3]}, "annotation 1: expected a bbox of four finite numbers"),
    "no bbox": ({"bbox": None}, "annotation 1: expected a bbox of four numbers, x y width height, got none"),
    "category": ({"category_id": 8}, "annotation 1: no category has the id 8"),
    "category type": ({"category_id": [7]}, r"annotation 1: no category has the id \[7\]"),
    "image": ({"image_id": 99}, "annotation 1: no image has the id 99"),
    "crowd": ({"iscrowd": 2}, "annotation 1: expected iscrowd of 0 or 1, got 2"),
    "sum": ({"segmentation": RLE_OFF}, "annotation 1: .*768"),
    "size": ({"segmentation": {"size": [9, 9], "counts": [81]}}, r"its mask is of \[9, 9\], the image of \[24, 32\]"),
    "points": ({"segmentation": [[1, 2, 3, 4]]}, "annotation 1: expected polygons of at least 3 points, got 2"),
    "odd": ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "annotation 1: expected polygons of finite numbers"),
    "polygon nan": ({"segmentation": [[1, 2, 3, float("nan"), 5, 6]]}, "expected polygons of finite numbers"),
    "duplicate": ({"id": 2}, "annotation 2: another annotation has this id"),
}


@pytest.mark.parametrize(("changes", "message"), INVALID.values(), ids=INVALID)
def test_an_invalid_annotation_is_named_or_skipped(root, changes, message):
    write(root, coco(NAMES, [changes, {"category_id": 90}]))
    with pytest.raises(ValueError, match=f"instances.json, .*{message}.*; skip_invalid=True ignores what is invalid"):
        open_dataset(path=str(root), label_kind="boxes")
    dataset = open_dataset(path=str(root), label_kind="boxes", skip_invalid=True)
    annotations = dataset.examples("train").annotations(0)
    if "beyond" in message:  # cut at the border
        assert annotations.boxes.tolist()[0] == [20, 2, 32, 8] and dataset.notes[0].startswith("1 box is clipped")
    else:
        assert len(annotations) == 1 and dataset.notes[0].startswith("1 invalid annotation is skipped: ")
        assert "instances.json, annotation" in dataset.notes[0]


HUGE = 10**400  # a whole number that no float holds; JSON may have it
INVALID |= {
    "huge": ({"bbox": [1, 2, HUGE, 6]}, "annotation 1: expected a bbox of four finite numbers"),
    "huge corner": ({"segmentation": [[HUGE, 2, 3, 4, 5, 6]]}, "annotation 1: expected polygons of finite numbers"),
    "far": ({"segmentation": [[1, 2, 2e9, 4, 5, 6]]}, r"expected corners of polygons below 1e\+08 pixels, got 2e\+09"),
    "huge run": ({"segmentation": RLE_OFF | {"counts": [HUGE]}}, "expected run lengths of 0 to 768, got"),
    "wraps": ({"segmentation": RLE_OFF | {"counts": [2**62] * 4 + [768]}}, "expected run lengths of at most .* = 768"),
    "id type": ({"id": [1]}, r"expected a number as id, got \[1\]"),
    "image type": ({"image_id": [5]}, r"annotation 1: no image has the id \[5\]"),
    "long": ({"image_id": "x" * 10**6}, r"annotation 1: no image has the id 'x{50,400}\.\.\.x{50,60}'"),
}
INVALID_IMAGES = {
    "missing": ({"file_name": "z.png"}, "image 5: no image 'z.png' below"),
    "same file": ({"file_name": "b.png"}, "image 6: .*b.png is image 5 too"),
    "duplicate": ({"id": 6}, "image 6: another image has this id"),
    "height": ({"height": 0}, "image 5: expected height and width in pixels, got 0 and 32"),
    "pixels": ({"height": 10**6, "width": 10**6}, "image 5: .* at most 134,217,728 pixels, got width 1000000 and"),
    "huge": ({"height": HUGE}, "image 5: expected an image with sides of 1 to 65,535 pixels .*, got width 32 and"),
    "no name": ({"file_name": None}, "image 5: expected a file_name, got None"),
    "no id": ({"id": None}, "image at position 0: expected a whole number as id, got None"),
}


@pytest.mark.parametrize(("changes", "message"), INVALID_IMAGES.values(), ids=INVALID_IMAGES)
def test_an_invalid_image_is_named_or_skipped_with_its_objects(root, changes, message):
    contents = coco(NAMES, [{"image_id": 7}])
    contents["images"][0] |= changes
    write(root, contents)
    with pytest.raises(ValueError, match=message):
        open_dataset(path=str(root), label_kind="boxes")
    dataset = open_dataset(path=str(root), label_kind="boxes", skip_invalid=True)
    assert dataset.splits == {"train": 2} and dataset.examples("train").annotations(1).labels.tolist() == [0]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("{", "instances.json is not valid JSON"),
        ("[1]", "expected COCO's JSON, with lists images, annotations, categories; missing: images"),
        (coco(NAMES) | {"categories": []}, "has no categories"),
        (coco(NAMES) | {"categories": [{"id": 1}]}, "expected an id and a name of category 0"),
        (coco(NAMES) | {"categories": [{"id": 1, "name": "a"}] * 2}, "category 1 has the id or name of another"),
        (coco(()), "expected at least one image with annotations, got none"),
    ],
)
def test_a_file_of_another_kind_is_named(root, contents, message):
    write(root, contents)
    with pytest.raises(ValueError, match=message):
        open_dataset(path=str(root), label_kind="boxes", annotations="instances.json")


def test_many_problems_are_counted(root):
    write(root, coco(NAMES, [{"category_id": 1}] * 9))
    with pytest.raises(ValueError, match="annotation 5: no category has the id 1; and 4 more; skip_invalid=True"):
        open_dataset(path=str(root), label_kind="boxes")


def test_boxes_may_reach_one_pixel_beyond(root):
    """As COCO's own do, which round."""
    write(root, coco(NAMES, [{"bbox": [-0.4, 2, 33, 6]}]))
    assert open_dataset(path=str(root), label_kind="boxes").examples("train").annotations(0).boxes[0, 2] == 32.6


def test_images_that_the_file_does_not_name_are_noted(root):
    write(root, coco(NAMES[:2], [{}]))
    dataset = open_dataset(path=str(root), label_kind="boxes")
    expected = f"1 image has no annotations in {root}/instances.json and is not used: {root}/c.png"
    assert dataset.notes == (expected,) and dataset.splits == {"train": 2}


def test_ids_of_images_and_categories_follow_the_examples(root):
    """Through splits of other category ids, parts, joined splits and chosen classes."""
    contents = coco(NAMES[:2], [{}])
    (root / "instances_train.json").write_text(json.dumps(contents))
    contents = coco(NAMES[2:], [{"category_id": 4}])
    contents["categories"] = [{"id": 4, "name": "cat"}]
    contents["images"][0]["id"] = 2**70
    contents["annotations"][0]["image_id"] = 2**70
    (root / "instances_val.json").write_text(json.dumps(contents))
    dataset = open_dataset(path=str(root), label_kind="boxes")
    train, test, both = (dataset.examples(split) for split in ("train[1:]", "val", "train+val"))
    assert (train.category_ids, train.image_id(0)) == ((7, 90), 6)
    assert (test.category_ids, test.image_id(0)) == ((4, 90), 2**70)
    assert [both.image_id(i) for i in range(3)] == [5, 6, 2**70]
    chosen = open_loader(dataset, "train", image_size=32, classes=("dog", "cat"))
    assert chosen.category_ids == (90, 7) and chosen.image_id(1) == 6
    more = open_loader(dataset, "train", image_size=32, known_classes=("owl", "cat", "dog"))
    assert more.category_ids == () and more.image_id(0) == 5


def test_invalid_annotations_are_named_where_nothing_is_left_over(root):
    write(root, coco(NAMES, [{"segmentation": [[1, 2, 3, 4]]}]))
    with pytest.raises(ValueError, match="annotation 1: expected polygons of at least 3 points"):
        open_dataset(path=str(root), label_kind="pixels")
    with pytest.raises(ValueError, match="expected objects with masks, got no objects"):
        open_dataset(path=str(root), label_kind="pixels", skip_invalid=True)
