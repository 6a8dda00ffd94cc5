"""resnet-jax data on sets with boxes and masks."""

import json

import numpy as np
import pytest
from dense_sets import HEIGHT, WIDTH, write_coco, write_mask, write_pictures
from PIL import Image

from resnet_jax.config import DataConfig
from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.runs.planning.survey import survey, verify

POLYGON = {"segmentation": [[4, 2, 12, 2, 12, 8, 4, 8]]}


@pytest.fixture
def root(tmp_path):
    for split, names in {"train": ("a", "b", "c"), "val": ("d", "e")}.items():
        write_pictures(tmp_path / "set" / split, names)
        objects = [{"image_id": 5} | POLYGON, {"image_id": 6, "category_id": 90, "bbox": [0, 0, 32, 24]} | POLYGON]
        objects += [{"image_id": 5, "iscrowd": 1} | POLYGON] * (split == "train")
        write_coco(tmp_path / f"set/{split}/{split}.json", names, objects)
    return tmp_path / "set"


def config(root, **options):
    return DataConfig(path=str(root), image_size=128, batch_size=3, channels=3, **{"padding": 1} | options)


def test_objects_are_counted_and_measured(root, tmp_path):
    sheet = tmp_path / "sheet.png"
    result = survey(config(root, max_boxes=1), sheet=str(sheet), batches=1, label_kind="boxes")
    assert result.counts == {"train": [2, 1], "val": [1, 1]}
    lines = result.lines(80)
    assert "3 objects in train: at most 2 in an image, 1 images without" in lines
    assert "sides of the boxes as the net sees them: 28 to 111 pixels, median 69; 50% below 32, 50% above 96" in lines
    assert "1 boxes are more than --data.max-boxes in their image and not trained on" in lines
    assert f"{sheet}: images as training sees them, with their boxes" in lines
    assert lines[-1].endswith(" images/s read and resized, in batches of 3")
    record = json.loads(json.dumps(result.record()))
    assert record["classes"][0] == {"class": "cat", "objects": {"train": 2, "val": 1}}
    assert record["labels"][1]["split"] == "val" and record["labels"][1]["images_without_objects"] == 0
    with Image.open(sheet) as image:
        assert image.width > 3 * 400 and len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 1000


def test_images_that_memory_holds_are_read_again_for_the_rate(root, tmp_path, monkeypatch):
    decoded = []
    decode = DenseLoader.decode
    monkeypatch.setattr(DenseLoader, "decode", lambda self, i: decoded.append(self.cache) or decode(self, i))
    survey(config(root), sheet=str(tmp_path / "sheet.png"), batches=1, label_kind="boxes")
    assert decoded.count(0) >= 3 and len(decoded) > decoded.count(0)


def test_shares_of_pixels(root, tmp_path):
    result = survey(config(root), sheet=str(tmp_path / "sheet.png"), batches=1, label_kind="pixels")
    assert result.counts == {"train": [3, 1, 1], "val": [2, 1, 1]}
    share = 100 * 48 / (3 * HEIGHT * WIDTH)
    expected = f"background {100 - 2 * share:.1f}%, cat {share:.1f}%, dog {share:.1f}%; ignored 0.0%"
    assert f"pixels in train: {expected}" in result.lines(80)


def test_verify_lists_invalid_annotations_and_images(root):
    assert verify(config(root), label_kind="boxes").lines() == ["all 5 images can be read"]
    names = ("a", "b", "c")
    write_coco(root / "train/train.json", names, [{"category_id": 1}, {"bbox": [0, 0, 90, 9]}, {}])
    (root / "train/b.png").write_bytes(b"")
    Image.new("RGB", (9, 9)).save(root / "val/d.png")
    result = verify(config(root), label_kind="boxes")
    reasons = [one["reason"].removeprefix(f"{root}/") for one in result.broken]
    assert reasons == [
        "train/train.json, annotation 1: no category has the id 1",
        "train/train.json, annotation 2: the box 0 0 90 9 (x0 y0 x1 y1) reaches beyond its image of 32 x 24 pixels",
        "train/b.png: the file is empty",
        "val/d.png: its annotation is for 32 x 24 pixels, the image has 9 x 9; expected the same size",
    ]
    assert result.lines()[-1].endswith("repair or remove them, or train with --data.invalid skip")


def test_invalid_masks_are_listed(tmp_path):
    write_pictures(tmp_path / "images", ("a", "b"))
    for name, value in {"a": 1, "b": 7}.items():
        write_mask(tmp_path / f"masks/{name}.png", np.full((HEIGHT, WIDTH), value))
    (tmp_path / "classes.txt").write_text("sky\nsea\n")
    result = verify(config(tmp_path), label_kind="pixels")
    assert (
        len(result.broken) == 1 and "masks/b.png has pixels of class 7; expected 0 to 1" in result.broken[0]["reason"]
    )
