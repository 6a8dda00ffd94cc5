"""Which images a run is trained and tested on."""

import dataclasses
import shutil
from zlib import crc32

import numpy as np
import pytest
from image_folders import config, names, write_images

from resnet_jax.config import DataConfig
from resnet_jax.runs.files.image_record import make_record
from resnet_jax.runs.planning.datasets import open_data
from resnet_jax.runs.planning.plan import make_plan


def test_images_stay_held_out_when_others_come_and_go_or_are_renamed(images):
    before = make_plan(config(images))
    assert before.data_name.endswith("(train[training]; test: train[held-out])")
    assert names(before.train) | names(before.test) == {f"{c}/im{i:03}.png" for c in ("cat", "dog") for i in range(12)}
    write_images(images, first=12, last=20)
    grown = make_plan(config(images))
    assert names(before.train) < names(grown.train) and names(before.test) < names(grown.test)
    for file in list(images.glob("*/im*.png")):
        file.rename(file.with_name(f"a{crc32(file.name.encode()) % 1000}_{file.name}"))
    renamed = make_plan(config(images))
    assert {name.rpartition("_")[2] for name in names(renamed.test)} == {name[4:] for name in names(grown.test)}
    assert grown.identities[1].digests["set"] == renamed.identities[1].digests["set"]


def test_images_of_small_classes_stay_held_out_too(tmp_path):
    """A small class holds out an image whatever its contents: images that are added later must not replace it."""
    classes = [f"c{i:02}" for i in range(30)]
    write_images(tmp_path / "set", classes, last=3)
    before = make_plan(config(tmp_path / "set"))
    record = make_record(*before.identities)
    write_images(tmp_path / "set", classes, first=3, last=6)
    assert not names(before.test) <= names(make_plan(config(tmp_path / "set")).test)
    grown = make_plan(config(tmp_path / "set"), record)
    assert names(before.test) < names(grown.test) and names(before.train) < names(grown.train)


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ({"test_split": "train[75%:]"}, (18, 6)),
        ({"test_split": "train[:25%]"}, (18, 6)),
        ({"test_split": "train[25%:50%]"}, (18, 6)),
        ({"test_split": "train"}, "--data.train-split 'train' and --data.test-split 'train' share 24 images of"),
        ({"train_split": "train[:90%]", "test_split": "train[50%:]"}, "share 10 images of"),
        ({"train_split": "train[:50%]", "test_split": "train[50%:]"}, (12, 12)),
    ],
)
def test_no_image_is_in_both_splits(images, splits, expected):
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            make_plan(config(images, **splits))
        return
    plan = make_plan(config(images, **splits))
    assert (plan.train.num_examples, plan.test.num_examples) == expected and not names(plan.train) & names(plan.test)
    digits = dataclasses.replace(config(images, **splits), data=DataConfig(**splits))
    plan = make_plan(digits)
    assert plan.train.num_examples + plan.test.num_examples == 1437
    assert plan.test.num_examples == pytest.approx(1437 * expected[1] / sum(expected), abs=1)


def test_validation_comes_before_test(tmp_path):
    for split, first, last in (("train", 0, 6), ("val", 6, 8), ("test", 8, 10)):
        write_images(tmp_path / split, first=first, last=last)
    splits = [make_plan(config(tmp_path, holdout=rule)).splits[1] for rule in ("digest", "position")]
    assert [split[:3] for split in splits] == ["val", "tes"]


@pytest.mark.parametrize("inside", [("",), ("day", "night")])
def test_a_folder_is_read_as_version_0_1_0_did(tmp_path, inside):
    """With files that it skipped, class folders named like splits, and a mean of values up to 255."""
    for folder in inside:
        write_images(tmp_path / "set" / "cat" / folder, classes=(".",), last=4)
        write_images(tmp_path / "set" / "dog" / folder, classes=(".",), last=4)
    (tmp_path / "set" / "dog" / "extra").write_bytes(next((tmp_path / "set").rglob("*.png")).read_bytes())
    (tmp_path / "set" / "lost+found").mkdir()
    shutil.copy(next((tmp_path / "set").rglob("*.png")), tmp_path / "set" / "lost+found")
    first = config(tmp_path / "set", holdout="position", mean=(123.0,) * 3, std=(58.0,) * 3)
    plan = make_plan(dataclasses.replace(first, data=dataclasses.replace(first.data, batch_size=2)))
    assert plan.train.classes == ("cat", "dog", "lost+found")
    assert names(plan.train) | names(plan.test) == {
        path.relative_to(tmp_path / "set").as_posix() for path in (tmp_path / "set").rglob("*.png")
    }
    with pytest.raises(ValueError, match=r"data.mean: expected means of values in \[0, 1\]"):
        make_plan(config(tmp_path / "set", mean=(123.0,) * 3, std=(58.0,) * 3))


def test_balanced_batches_come_by_the_plan(images):
    for file in sorted(images.glob("cat/*.png"))[4:]:
        file.unlink()
    for options in ({}, {"image_size": 8}):
        plan = make_plan(config(images, balance=True, test_split="train[:25%]", **options))
        assert plan.train.num_examples == 12
        batch = next(plan.train.batches(0, 0, batch_size=12))
        assert np.bincount(batch["label"]).tolist() == [6, 6]
        assert (batch["label"] == plan.train.labels[plan.train.order(0, 12).batch(0)]).all()


def test_a_jitter_of_scale_is_for_dense_labels():
    with pytest.raises(ValueError, match="data.scale_jitter is for images with boxes or masks"):
        open_data(DataConfig(scale_jitter=(0.5, 2.0)))
    with pytest.raises(ValueError, match="data.mixup is for images of one class"):
        open_data(DataConfig(name="scenes", mixup=0.2), label_kind="pixels")
