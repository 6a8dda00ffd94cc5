"""Folders of images beside folders of masks."""

import numpy as np
import pytest
from dense_sets import HEIGHT, WIDTH, write_mask, write_pictures

from resnet_jax.data import open_dataset
from resnet_jax.errors import DataError

MASK = np.zeros((HEIGHT, WIDTH), np.uint8)
MASK[3:6, :9], MASK[6] = 2, 255


def write(root, names=("a", "b"), ending="", folder="masks"):
    write_pictures(root / "images", names)
    for name in names:
        write_mask(root / folder / f"{name}{ending}.png", MASK)


@pytest.mark.parametrize("ending", ["", "_mask"])
def test_masks_belong_to_the_images_of_their_names(tmp_path, ending):
    write(tmp_path, ending=ending)
    for options in ({}, {"masks": "masks"}):
        source = open_dataset(path=str(tmp_path), label_kind="pixels", **options).examples("train")
        assert source.classes == ("0", "1", "2") and len(source) == 2
        np.testing.assert_array_equal(source.label(1), MASK)
        np.testing.assert_array_equal(source.presence(), [[1, 0, 1]] * 2)
    dataset = open_dataset(path=str(tmp_path / "images"), label_kind="pixels", masks=str(tmp_path / "masks"))
    assert dataset.splits == {"train": 2}
    (tmp_path / "classes.txt").write_text("sky\nsea\nland\nice")
    assert open_dataset(path=str(tmp_path), label_kind="pixels").examples("train").classes[3] == "ice"


def test_folders_of_splits_lie_in_both(tmp_path):
    for split in ("train", "val"):
        write_pictures(tmp_path / "images" / split, ("a",))
        write_mask(tmp_path / "masks" / split / "a.png", MASK)
    dataset = open_dataset(path=str(tmp_path), label_kind="pixels")
    assert dataset.splits == {"train": 1, "val": 1} and dataset.examples("val").name(0).endswith("val/a.png")


def test_masks_that_change_are_noticed(tmp_path):
    write(tmp_path)
    before = open_dataset(path=str(tmp_path), label_kind="pixels").examples("train").identity(np.arange(2), "contents")
    write_mask(tmp_path / "masks/a.png", MASK[::-1])
    source = open_dataset(path=str(tmp_path), label_kind="pixels").examples("train")
    after = source.identity(np.arange(2), "contents")
    assert (before.labels == after.labels).tolist() == [False, True] and (
        before.fingerprints == after.fingerprints
    ).all()
    assert (source.identity(np.arange(2), "names").labels >= 0).all()


def test_missing_files_are_named_or_skipped(tmp_path):
    write(tmp_path, ("a", "b", "c"))
    (tmp_path / "masks/a.png").unlink()
    (tmp_path / "images/b.png").unlink()
    with pytest.raises(ValueError, match="images/a.png: no mask of this name in .*; .*masks/b.png: no image of this"):
        open_dataset(path=str(tmp_path), label_kind="pixels")
    dataset = open_dataset(path=str(tmp_path), label_kind="pixels", skip_invalid=True)
    assert dataset.splits == {"train": 1} and dataset.notes[0].startswith("2 invalid annotations are skipped")
    (tmp_path / "images/c.png").unlink()
    with pytest.raises(ValueError, match="none of 1 images has a mask of its name in"):
        open_dataset(path=str(tmp_path), label_kind="pixels", skip_invalid=True)


def test_invalid_masks_are_named(tmp_path):
    write(tmp_path, ("a", "b", "c", "d"))
    (tmp_path / "classes.txt").write_text("sky\nsea\n")
    write_mask(tmp_path / "masks/b.png", np.zeros((HEIGHT, WIDTH, 3)))
    (tmp_path / "masks/c.png").write_bytes(b"")
    write_mask(tmp_path / "masks/d.png", np.zeros((5, 5)))
    source = open_dataset(path=str(tmp_path), label_kind="pixels").examples("train")
    for index, message in enumerate(
        (
            "a.png has pixels of class 2; expected 0 to 1, or 255 for ignored pixels",
            "b.png: expected a mask of grey levels or a palette, got colours",
            "c.png: not an image in a format that is known here",
        )
    ):
        with pytest.raises(DataError, match=message):
            source.label(index)
    (tmp_path / "classes.txt").unlink()
    for name in "abc":
        write_mask(tmp_path / f"masks/{name}.png", np.where(MASK, 255, 0))
    with pytest.raises(ValueError, match="have 0 alone, beside 255, which is ignored; save them with the numbers"):
        open_dataset(path=str(tmp_path), label_kind="pixels")


def test_masks_of_colours_alone_are_named(tmp_path):
    write_pictures(tmp_path / "images", ["a"])
    write_mask(tmp_path / "masks/a.png", np.zeros((HEIGHT, WIDTH, 3)))
    with pytest.raises(ValueError, match="a.png: expected a mask of grey levels or a palette, got colours"):
        open_dataset(path=str(tmp_path), label_kind="pixels")
