"""Data that has changed since a run began: reported, or recognised as repaired or renamed."""

import shutil

import numpy as np
import pytest
from image_folders import config, names, write_images
from PIL import Image

from resnet_jax.data.sources.identity import MANY
from resnet_jax.runs.files.image_record import make_record, trained_on
from resnet_jax.runs.planning import plan as planning
from resnet_jax.runs.planning.data_changes import data_changes, shared_note
from resnet_jax.runs.planning.metadata import data_metadata
from resnet_jax.runs.planning.plan import make_plan


def test_changes_of_the_data_are_reported(images, tmp_path):
    before = make_plan(config(images))
    meta, record = {"data": data_metadata(before)}, make_record(*before.identities)
    same = ([], [])
    assert data_changes(make_plan(config(f"{images}/")), meta, record) == same
    shutil.copytree(images, tmp_path / "moved" / "set")
    assert data_changes(make_plan(config(tmp_path / "moved" / "set")), meta, record) == same

    first, last = sorted(images.glob("cat/*.png"))[:: len(names(before.train)) // 2 - 1][:2]
    chosen = next(file for file in sorted(images.glob("cat/*")) if f"cat/{file.name}" in names(before.train))
    chosen.rename(chosen.with_name("zzz.png"))
    message = "the data has changed since this run began: train images in another order (1 renamed), "
    message += "which changes the batches"
    assert data_changes(make_plan(config(images)), meta, record) == ([message], [])
    chosen.with_name("zzz.png").rename(chosen)
    assert data_changes(make_plan(config(images)), meta, record) == same

    moved = images / "dog" / chosen.name.replace("im", "am")
    chosen.rename(moved)  # corrected
    (message,), _ = data_changes(make_plan(config(images)), meta, record)
    assert "train images: 1 renamed, 1 with another label" in message
    moved.rename(chosen)
    chosen.unlink()
    (message,), _ = data_changes(make_plan(config(images)), meta, record)
    assert "1 removed" in message and "trained on before" not in message
    (message,), _ = data_changes(make_plan(config(images, holdout="position")), meta, record)
    assert "test images were trained on before" in message
    write_images(images)
    old = {"data": {"images": meta["data"]["images"], "classes": ["cat", "dog"]}}  # of version 0.1.0
    assert data_changes(before, old) == same
    write_images(images, first=12, last=20)
    (message,), _ = data_changes(make_plan(config(images)), old)
    assert message.startswith("the data has changed since this run began: images {'train'")


def test_many_files_are_not_read(images, monkeypatch):
    """With a split to test on, large sets are identified by names and sizes."""
    assert MANY > 10_000
    monkeypatch.setattr(planning, "MANY", 10)
    monkeypatch.setattr("resnet_jax.data.sources.image_files.file_fingerprints", None)
    write_images(images.parent / "both" / "train")
    write_images(images.parent / "both" / "val", first=12, last=15)
    before = make_plan(config(images.parent / "both"))
    assert {identity.kind for identity in before.identities} == {"names"}
    meta = {"data": data_metadata(before)}
    (images.parent / "both" / "val" / "dog" / "im012.png").rename(images.parent / "both" / "val" / "dog" / "x.png")
    record = make_record(*before.identities)
    changes, (message,) = data_changes(make_plan(config(images.parent / "both")), meta, record)
    assert changes == [] and message.startswith("the test images have changed (1 added, 1 removed)")
    monkeypatch.setattr(planning, "MANY", 1000)  # as after images were removed
    assert make_plan(config(images.parent / "both"), record).identities[0].kind == "names"


def test_files_of_one_name_and_size_in_two_splits_are_two_images(tmp_path, monkeypatch):
    """In a large set, whose files are not read, train/0/1.bmp is not test/0/1.bmp."""
    monkeypatch.setattr(planning, "MANY", 3)
    for split, value in (("train", 0), ("test", 9)):
        for label in "01":
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(4):
                Image.fromarray(np.full((8, 8, 3), value + i, np.uint8)).save(tmp_path / split / label / f"{i}.bmp")
    plan = make_plan(config(tmp_path))
    assert shared_note(plan) == [] and plan.identities[0].kind == "names"
    record = make_record(*plan.identities)
    mask, known = trained_on(plan.test.examples, [(record, True)])
    assert known and not mask.any() and trained_on(plan.train.examples, [(record, True)])[0].all()
    mask, known = trained_on(plan.train.examples, [(record, False)])
    assert not known and not mask.any()  # names of one dataset do not identify images of another


@pytest.mark.parametrize("part", ["val", "train", "held-out"])
def test_a_repaired_image_is_no_other_image(images, part):
    """It also stays in its split if the images to hold out are chosen by contents."""
    if part == "val":
        write_images(images.parent / "both" / "train")
        write_images(images.parent / "both" / "val", first=12, last=15)
        images = images.parent / "both"
    broken = make_plan(config(images))
    source = broken.train if part == "train" else broken.test
    files = [source.examples.name(i) for i in range(1)]
    whole = {file: open(file, "rb").read() for file in files}
    for file in files:
        open(file, "wb").write(whole[file][:-9])
    plan = broken if part != "held-out" else make_plan(config(images), make_record(*broken.identities))
    broken = make_plan(config(images), make_record(*plan.identities))
    meta, record = {"data": data_metadata(broken)}, make_record(*broken.identities)
    for file in files:
        open(file, "wb").write(whole[file])
    repaired = make_plan(config(images), record)
    assert names(repaired.test) == names(broken.test)
    split = "train" if part == "train" else "test"
    message = f"1 {split} image has other contents than before, under the same name and label"
    assert data_changes(repaired, meta, record) == ([], [message])
    changes, _ = data_changes(repaired, meta, record, exact=True)  # of `replay`
    assert len(changes) == (part == "train") and all("train images: 1 added, 1 removed" in line for line in changes)


def test_exchanged_classes_and_other_images_of_the_same_names_are_no_repair(images):
    plan = make_plan(config(images, train_split="train", test_split="train", holdout="position"))
    meta, record = {"data": data_metadata(plan)}, make_record(*plan.identities)
    (images / "cat").rename(images / "x")
    (images / "dog").rename(images / "cat")
    (images / "x").rename(images / "dog")
    (message,), _ = data_changes(make_plan(plan.config), meta, record)
    assert "train images: 24 renamed, 24 with another label" in message
    write_images(images)
    (images / "cat" / "im000.png").write_bytes(
        (images / "dog" / "im000.png").read_bytes()
    )  # a single image, but its contents are known
    (message,), _ = data_changes(make_plan(plan.config), meta, record)
    assert "train images: 1 added, 1 removed" in message
    write_images(images, classes=("bird", "cat", "dog"))
    shutil.rmtree(images / "bird")
    (message,), _ = data_changes(make_plan(plan.config), meta, record)
    assert "train images: " in message


def test_copies_in_both_folders_are_counted(images, tmp_path):
    for split, first, last in (("train", 0, 6), ("test", 4, 8)):
        write_images(tmp_path / "both" / split, first=first, last=last)
    plan = make_plan(config(tmp_path / "both"))
    (message,) = shared_note(plan)
    assert message.startswith("4 of the 8 test images are also trained on, as the same file or a copy")
    assert shared_note(make_plan(config(images))) == []
