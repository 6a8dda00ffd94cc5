"""Which annotations a folder has, and messages where it has none."""

import pytest
from dense_sets import write_coco, write_pictures

from resnet_jax.data import open_dataset


def test_a_folder_without_annotations_is_refused_with_what_is_expected(tmp_path):
    write_pictures(tmp_path / "images", ("a",))
    (tmp_path / "README.txt").write_text("none")
    with pytest.raises(ValueError, match=r"has no annotations that are known; expected annotations='instances.json'"):
        open_dataset(path=str(tmp_path), label_kind="boxes")
    (tmp_path / "packed.json").write_text("{}")
    with pytest.raises(ValueError, match=r"is a packed set, which has no annotations; expected annotations="):
        open_dataset(path=str(tmp_path), label_kind="boxes")
    (tmp_path / "packed.json").unlink()
    with pytest.raises(ValueError, match=r"images has no annotations; expected annotations="):
        open_dataset(path=str(tmp_path), label_kind="boxes", annotations="images")
    with pytest.raises(FileNotFoundError, match="annotations='image', neither here nor in .*; did you mean images?"):
        open_dataset(path=str(tmp_path), label_kind="boxes", annotations="image")
    with pytest.raises(FileNotFoundError, match="masks='nothing', neither here nor in"):
        open_dataset(path=str(tmp_path), label_kind="pixels", masks="nothing")
    with pytest.raises(ValueError, match="masks='images' is for label_kind='pixels'"):
        open_dataset(path=str(tmp_path), label_kind="boxes", masks="images")
    with pytest.raises(FileNotFoundError, match="no folder .*; expected the folder of the images"):
        open_dataset(path=str(tmp_path / "nowhere"), label_kind="boxes")


def test_a_folder_read_as_classes_names_what_reads_its_annotations(tmp_path):
    write_pictures(tmp_path / "coco", ("a",))
    write_coco(tmp_path / "coco/instances.json", ("a",), [{}])
    for kind in ("yolo/labels/a.txt", "voc/Annotations/a.xml"):
        write_pictures(tmp_path / kind.split("/")[0] / "images", ("a",))
        (tmp_path / kind).parent.mkdir()
        (tmp_path / kind).write_text("")
    for name in ("coco", "yolo", "voc"):
        with pytest.raises(ValueError, match=r"; its annotations of objects are read with label_kind='boxes' or "):
            open_dataset(path=str(tmp_path / name))
    write_pictures(tmp_path / "plain", ("a",))
    with pytest.raises(ValueError, match=r"reads another file of labels$"):
        open_dataset(path=str(tmp_path / "plain"))


def test_of_several_files_one_must_be_named(tmp_path):
    write_pictures(tmp_path, ("a",))
    for name in ("first", "second"):
        write_coco(tmp_path / f"{name}.json", ("a",), [{}])
    with pytest.raises(ValueError, match="has several JSON files of annotations; name one: annotations='first.json"):
        open_dataset(path=str(tmp_path), label_kind="boxes")
    assert open_dataset(path=str(tmp_path), label_kind="boxes", annotations="second.json").splits == {"train": 1}
    assert open_dataset(path=str(tmp_path / "first.json"), label_kind="boxes").splits == {"train": 1}
    both = (str(tmp_path / "first.json"), str(tmp_path / "second.json"))
    with pytest.raises(ValueError, match="first.json: expected the name of a split in the file's name"):
        open_dataset(path=str(tmp_path), label_kind="boxes", annotations=both)
    for split in ("val", "test"):
        write_coco(tmp_path / f"{split}.json", ("a",), [{}])
    named = (str(tmp_path / "val.json"), str(tmp_path / "test.json"))
    with pytest.raises(ValueError, match="JSON files of val, test, but none to train on"):
        open_dataset(path=str(tmp_path), label_kind="boxes", annotations=named)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "x", "annotations": "a"}, "annotations='a' is for boxes and masks; expected label_kind='boxes' or"),
        ({"name": "scenes", "masks": "m", "label_kind": "pixels"}, "masks='m' describes data at a path"),
        ({"name": "digits", "label_kind": "boxes"}, "digits has one class per image; label_kind='boxes' reads scenes"),
        ({"path": "x", "labels": "l", "label_kind": "boxes"}, "labels='l' is for labels of whole images"),
        ({"path": "", "label_kind": "boxes"}, "path='': expected a path"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(**options)
