"""Which images with boxes or masks a run is trained and tested on."""

from dataclasses import replace

import numpy as np
import pytest
from dense_sets import write_coco, write_pictures

from resnet_jax.config import DataConfig
from resnet_jax.data.sources.identity import differences
from resnet_jax.data.sources.subsets import identify
from resnet_jax.runs.files.image_record import make_record
from resnet_jax.runs.planning.datasets import data_notes, open_data

NAMES = [f"im{i:02}" for i in range(30)]


def write(root, names=NAMES, first=None):
    write_pictures(root / "images", names)
    objects = [{"image_id": 5 + i, "category_id": (7, 90)[i % 2]} for i in range(len(names))]
    objects[0] |= first or {}
    write_coco(root / "instances.json", names, objects)
    return DataConfig(path=str(root / "images"), annotations=str(root / "instances.json"), image_size=32, channels=3)


def names(loader):
    return {loader.name(i).rpartition("/")[2] for i in range(loader.num_examples)}


def test_images_stay_held_out_when_others_come(tmp_path):
    dataset, splits, train, test = open_data(write(tmp_path), label_kind="boxes")
    assert splits == ("train[training]", "train[held-out]") and train.num_examples + test.num_examples == 30
    assert (
        test.num_examples >= 2
        and not names(train) & names(test)
        and data_notes(write(tmp_path), dataset, splits[0]) == ()
    )
    record = make_record(*(identify(loader.examples, "contents") for loader in (train, test)))
    more = [*NAMES, *(f"new{i}" for i in range(9))]
    *_, grown_train, grown_test = open_data(write(tmp_path, more), record, "boxes")
    assert names(train) < names(grown_train) and names(test) <= names(grown_test)
    *_, pixels = open_data(replace(write(tmp_path), test_split="train[:20%]"), label_kind="boxes")
    assert pixels.num_examples == 6


def test_changed_annotations_are_other_labels(tmp_path):
    before = identify(open_data(write(tmp_path), label_kind="boxes")[2].examples, "contents")
    for change in ({"bbox": [4, 2, 9, 6]}, {"category_id": 90}, {"iscrowd": 1}):
        *_, train, test = open_data(write(tmp_path, first=change), label_kind="boxes")
        after = identify(train.examples if "im00.png" in names(train) else test.examples, "contents")
        if "im00.png" in names(train):
            assert differences(before, after) == ["1 with another label"]
    assert "im00.png" in names(train)


def test_chosen_classes_and_channels(tmp_path):
    config = replace(write(tmp_path), classes=("dog",), class_names=("a", "dog"), channels=1)
    _, _, train, test = open_data(config, label_kind="boxes")
    assert train.classes == test.classes == ("dog",) and train.num_examples + test.num_examples == 30
    assert train.image_shape == (32, 32, 1) and train.labels.sum() + test.labels.sum() == 15
    with pytest.raises(ValueError, match="no class 'cow'"):
        open_data(replace(config, classes=("cow",)), label_kind="boxes")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": True}, "data.balance is for images of one class; expected none with boxes or masks"),
        ({"mixup": 0.2}, "data.mixup is for images of one class"),
        ({"per_class": 3}, "data.per_class is for images of one class"),
        ({"labels": "x.csv"}, "labels='x.csv' is for labels of whole images"),
        ({"image_size": None}, "expected image_size=512, or another side of the canvas"),
        ({"classes": ("dog", "dog")}, "expected each class once"),
        ({"train_split": "test"}, "has no split 'test'"),
    ],
)
def test_options_for_images_of_one_class_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        open_data(replace(write(tmp_path), **options), label_kind="boxes")


def test_invalid_annotations_are_skipped_when_asked_and_noted(tmp_path):
    config = write(tmp_path, first={"bbox": [1, 1, 0, 4]})
    with pytest.raises(ValueError, match="annotation 1: the box 1 1 1 5 .* has no area; skip_invalid=True ignores"):
        open_data(config, label_kind="boxes")
    config = replace(config, invalid="skip")
    dataset, splits, train, _ = open_data(config, label_kind="boxes")
    (note,) = data_notes(config, dataset, splits[0])
    assert note.startswith("1 invalid annotation is skipped: ") and (train.labels.sum(1) == 0).sum() <= 1
    batch = next(train.batches(0, batch_size=4))
    assert np.isfinite(batch["boxes"]).all() and batch["label"].shape == (4, 1)
