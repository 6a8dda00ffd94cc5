"""The dense loader: batches of images with objects or label maps on a canvas."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from dense_sets import HEIGHT, WIDTH, coco, write_coco, write_mask, write_pictures
from PIL import Image

from resnet_jax.data import open_dataset, open_loader
from resnet_jax.data.loading.dense import with_masks
from resnet_jax.errors import DataError, MixedChannels, NeedsImageSize, UnreadableImage

NAMES = [f"im{i}" for i in range(10)]
BOX = {"segmentation": [[4, 2, 12, 2, 12, 8, 4, 8]]}


@pytest.fixture
def root(tmp_path):
    write_pictures(tmp_path, NAMES)
    objects = [{"image_id": 5 + i, "bbox": [4, 2, 8, 6]} | BOX for i in range(9) for _ in range(1 + (i == 1))]
    objects[1] |= {"category_id": 90, "bbox": [0, 0, 32, 24], "area": 768, "iscrowd": 1}
    write_coco(tmp_path / "instances.json", NAMES, objects)
    return tmp_path


def loader(root, kind="boxes", image_size=64, **options):
    return open_loader(open_dataset(path=str(root), label_kind=kind), "train", image_size=image_size, **options)


def test_a_batch_of_objects(root):
    """The longer side fills the canvas: 24 x 32 becomes 48 x 64. Boxes, masks and sizes follow; the rest is padding."""
    served = with_masks(loader(root))
    batch = next(served.eval_batches(10))
    assert {name: (x.dtype.name, x.shape) for name, x in batch.items()} == {
        "image": ("uint8", (10, 64, 64, 3)),
        "size": ("int32", (10, 2)),
        "mask": ("float32", (10,)),
        "example": ("int32", (10,)),
        "label": ("int32", (10, 2)),
        "boxes": ("float32", (10, 2, 4)),
        "crowd": ("bool", (10, 2)),
        "original_size": ("int32", (10, 2)),
        "masks": ("uint8", (10, 2, 64, 64)),
    }
    assert batch["size"].tolist() == [[48, 64]] * 10 and batch["original_size"].tolist() == [[HEIGHT, WIDTH]] * 10
    assert batch["label"].tolist() == [[0, -1], [1, 0], *[[0, -1]] * 7, [-1, -1]]
    assert batch["crowd"].tolist() == [[False] * 2, [True, False], *[[False] * 2] * 8]
    np.testing.assert_array_equal(batch["boxes"][1], [[0, 0, 64, 48], [8, 4, 24, 16]])
    assert not batch["boxes"][9].any() and not batch["image"][:, 48:].any() and not batch["masks"][9].any()
    mask = np.zeros((64, 64), np.uint8)
    mask[4:16, 8:24] = 1
    np.testing.assert_array_equal(batch["masks"][0, 0], mask)
    expected = Image.open(root / "im0.png").resize((64, 48), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(batch["image"][0, :48], expected)
    assert served.image_shape == (64, 64, 3) and served.crop_mode == "pad" and served.box_count == 2
    np.testing.assert_array_equal(served.labels.sum(0), [9, 1])


def test_a_batch_of_label_maps(root):
    """Values are nearest; padding and what the data ignores are 255."""
    batch = next(loader(root, "pixels", resize=30).batches(0, batch_size=10))
    assert batch["label"].dtype == np.uint8 and batch["size"].tolist() == [[30, 40]] * 10
    first = batch["label"][int(np.flatnonzero(batch["example"] == 0)[0])]
    assert (first[30:] == 255).all() and (first[:, 40:] == 255).all() and (first[2:10, 5:15] == 1).all()
    assert (first[:30, :40] == 1).sum() == 80


def test_batches_depend_on_seed_and_step_alone(root):
    """For any number of threads and processes; evaluation serves every example once."""
    whole = loader(root, threads=3)
    batches = list(islice(whole.batches(3, batch_size=4), 5))
    for k in (0, 3):
        resumed = next(loader(root, threads=1).batches(3, k, batch_size=4))
        for name, x in batches[k].items():
            np.testing.assert_array_equal(x, resumed[name])
    halves = [next(loader(root).batches(3, 3, batch_size=4, share=(i, 2)))["example"] for i in (0, 1)]
    assert np.concatenate(halves).tolist() == batches[3]["example"].tolist()
    assert sorted(np.concatenate([b["example"] for b in batches[:2]]).tolist()) == sorted(
        {*whole.order(3, 4).batch(0), *whole.order(3, 4).batch(1)}
    )
    for share in ((0, 1), (1, 2)):
        served = np.concatenate([b["example"][b["mask"] > 0] for b in whole.eval_batches(4, share=share)])
        assert served.tolist() == ([*range(10)] if share == (0, 1) else [2, 3, 6, 7])
    last = list(whole.eval_batches(4))[-1]
    assert last["mask"].tolist() == [1, 1, 0, 0] and last["example"].tolist() == [8, 9, -1, -1]


def test_small_sets_are_decoded_once(root):
    served = loader(root)
    first = next(served.eval_batches(10))
    for name in NAMES:
        (root / f"{name}.png").unlink()
    again = next(served.eval_batches(10))
    np.testing.assert_array_equal(first["image"], again["image"])
    write_pictures(root, NAMES)
    limited = replace(loader(root), cache=3 * 64 * 64 * 4)
    np.testing.assert_array_equal(next(limited.eval_batches(10))["image"], first["image"])
    (root / "im9.png").unlink()
    with pytest.raises(UnreadableImage, match="im9.png: No such file"):
        list(limited.eval_batches(5))


def test_the_largest_boxes_are_taken_and_crowds_last(root):
    batch = next(loader(root, max_boxes=1).eval_batches(2))
    # The crowd of the second image is larger than its object, and no target.
    assert batch["label"].tolist() == [[0], [0]] and batch["boxes"][1].tolist() == [[8, 4, 24, 16]]
    batch = next(loader(root, max_boxes=5).eval_batches(2))
    assert batch["label"].tolist() == [[0, -1, -1, -1, -1], [1, 0, -1, -1, -1]]


def test_chosen_classes_keep_all_images(root):
    served = loader(root, classes=("dog",))
    batch = next(served.eval_batches(10))
    assert served.classes == ("dog",) and batch["label"].ravel().tolist() == [-1, 0] + [-1] * 8
    label = next(loader(root, "pixels", classes=("background", "dog")).eval_batches(1))["label"][0]
    assert label[0, 0] == 0 and label[10, 10] == 255
    with pytest.raises(ValueError, match="per_class=2: an image has objects of several classes"):
        loader(root, per_class=2)
    names = open_loader(
        open_dataset(path=str(root), label_kind="boxes"), "train", image_size=32, class_names=("a", "b")
    )
    assert names.classes == ("a", "b")
    known = loader(root, known_classes=("cow", "dog", "cat"), label_kind="boxes")
    assert next(known.eval_batches(2))["label"].tolist() == [[2, -1], [1, 2]]


def test_unreadable_images_are_skipped_when_asked(root):
    (root / "im1.png").write_bytes(b"none")
    with pytest.raises(UnreadableImage, match="im1.png: not an image"):
        list(loader(root).eval_batches(5))
    served = loader(root, skip_unreadable=True)
    batch = next(served.eval_batches(3))
    assert batch["mask"].tolist() == [1, 0, 1] and list(served.skipped) == [str(root / "im1.png")]
    assert 1 not in next(served.batches(0, batch_size=10))["example"]
    for name in NAMES:
        (root / f"{name}.png").write_bytes(b"none")
    with pytest.raises(UnreadableImage, match="none of 10 images could be read; the last"):
        next(loader(root, skip_unreadable=True).batches(0, batch_size=2))
    with pytest.raises(ValueError, match="none of 10 images could be read"):
        loader(root, skip_unreadable=True).moments()


def test_annotations_of_another_size_are_named_or_skipped(root):
    contents = coco(NAMES, [BOX])
    contents["images"][0]["width"] = 40
    (root / "instances.json").write_text(json.dumps(contents))
    message = "im0.png: its annotation is for 40 x 24 pixels, the image has 32 x 24; expected the same size"
    with pytest.raises(DataError, match=message):
        next(loader(root).eval_batches(2))
    served = loader(root, skip_invalid=True)
    assert next(served.eval_batches(2))["mask"].tolist() == [0, 1] and list(served.skipped) == [str(root / "im0.png")]


def test_annotations_are_for_stored_pixels_unless_they_have_the_size_of_the_upright_image(root):
    stored = np.asarray(Image.open(root / "im0.png"))
    exif = Image.Exif()
    exif[0x0112] = 6  # upright after a turn by a quarter, clockwise
    Image.fromarray(stored).save(root / "im0.png", exif=exif)
    np.testing.assert_array_equal(next(loader(root, image_size=32).eval_batches(1))["image"][0, :24], stored)
    contents = coco(NAMES, [])
    contents["images"][0] |= {"width": HEIGHT, "height": WIDTH}
    (root / "instances.json").write_text(json.dumps(contents))
    batch = next(loader(root, image_size=32).eval_batches(1))
    assert batch["original_size"].tolist() == [[WIDTH, HEIGHT]]
    np.testing.assert_array_equal(batch["image"][0, :, :24], np.rot90(stored, -1))


def test_channels_and_moments_of_the_images_without_their_padding(root):
    served = loader(root, image_size=32)
    pixels = np.stack([np.asarray(Image.open(root / f"{name}.png")) for name in NAMES]) / 255
    mean, std = served.moments()
    np.testing.assert_allclose(mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std((0, 1, 2)), rtol=1e-12)
    grey = loader(root, channels=1)
    assert next(grey.eval_batches(1))["image"].shape == (1, 64, 64, 1) and len(grey.moments()[0]) == 1
    with pytest.raises(MixedChannels, match="channels=1 makes it grey too"):
        next(replace(grey, to_grey=False).eval_batches(1))
    with pytest.raises(NeedsImageSize, match="expected image_size=512, or another side of the canvas"):
        loader(root, image_size=None)


def test_nets_with_masks_need_a_mask_for_each_object(root):
    write_coco(root / "instances.json", NAMES, [{}])
    with pytest.raises(DataError, match="im0.png: expected a mask for each object, which this net is trained on"):
        next(with_masks(loader(root)).eval_batches(2))


def test_scenes_are_as_large_as_their_canvas_and_masks_of_files_fit(tmp_path):
    scenes = with_masks(open_loader(open_dataset("scenes", label_kind="boxes"), "test"))
    batch = next(scenes.eval_batches(4))
    assert scenes.image_size == 96 and batch["size"].tolist() == [[96, 96]] * 4
    source = scenes.examples
    for i in range(4):
        objects = source.annotations(i)
        np.testing.assert_array_equal(batch["boxes"][i, : len(objects)], objects.boxes)
        np.testing.assert_array_equal(batch["masks"][i, : len(objects)], [mask.decode() for mask in objects.masks])
    write_pictures(tmp_path / "images", ["a"])
    write_mask(tmp_path / "masks/a.png", np.ones((HEIGHT, WIDTH + 1)))
    with pytest.raises(DataError, match="a.png: its annotation is for 33 x 24 pixels, the image has 32 x 24"):
        next(loader(tmp_path, "pixels").eval_batches(1))
