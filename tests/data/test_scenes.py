import hashlib

import numpy as np
import pytest

from resnet_jax import data
from resnet_jax.data.digits import open_digits
from resnet_jax.data.scenes import SCENES, scenes_of
from resnet_jax.data.scenes.compose import OVERLAP, SIDE, compose

OBJECTS = data.open_dataset("scenes", label_kind="boxes")
MAPS = data.open_dataset("scenes", label_kind="pixels")


def some(split):
    boxes, maps = OBJECTS.examples(split), MAPS.examples(split)
    return [(boxes[i][0], boxes.annotations(i), maps[i][0], maps.label(i)) for i in range(0, len(boxes), 120)]


def test_both_kinds_of_labels_describe_the_same_pixels():
    assert OBJECTS.splits == MAPS.splits == {"train": 2880, "test": 360}
    assert "composed" in OBJECTS.notes[0] and "composed" in OBJECTS.examples("test").name(3)
    assert MAPS.examples("test").classes == ("background", *"0123456789")
    for image, objects, same_image, label_map in some("train") + some("test"):
        np.testing.assert_array_equal(image, same_image)
        assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
        assert 1 <= len(objects) <= 4 and not objects.crowd.any() and objects.size == (SIDE, SIDE)
        painted = np.zeros((SIDE, SIDE), np.uint8)
        for box, label, rle, area in zip(objects.boxes, objects.labels, objects.masks, objects.area, strict=True):
            mask = rle.decode() > 0
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert area == mask.sum() > 20 and not painted[mask].any()
            painted[mask] = label + 1
        edge = label_map == 255
        np.testing.assert_array_equal(painted[~edge], label_map[~edge])
        assert 0.1 < edge[painted > 0].mean() < 0.5 and 0 < edge[painted == 0].mean() < 0.2


def test_no_scene_has_a_digit_of_another_split():
    """A scene's objects are looked up among the shapes of its split, and no shape is in both splits."""
    shapes = {split: {image.tobytes() for image in open_digits().examples(split).images} for split in SCENES}
    assert not shapes["train"] & shapes["test"]
    for split, count in SCENES.items():
        scenes, labels = scenes_of(split)
        used = open_digits().examples(split).images[np.concatenate([scene.digits for scene in scenes])]
        assert len(scenes) == count and {image.tobytes() for image in used} <= shapes[split]
        truths = OBJECTS.examples(split).truths
        for i in range(0, count, 120):
            np.testing.assert_array_equal(truths[i].labels, labels[scenes[i].digits])
            np.testing.assert_array_equal(OBJECTS.examples(split)[i][0], scenes[i].image)


def test_the_ink_of_an_object_is_its_digit_enlarged():
    """A scene of a single solid square has that square, whole, as its mask."""
    for seed in range(20):
        scene = compose(np.ones((1, 8, 8)), np.random.default_rng(seed))
        sizes = [(scene.owner == k + 1).sum() for k in range(len(scene.digits))]
        sides = np.sqrt(sizes[-1])
        assert sides == int(sides) and 32 <= sides <= 56
        assert all(size >= (1 - 4 * OVERLAP) * 32**2 for size in sizes)


@pytest.mark.parametrize(("ink", "is_object", "is_edge"), [(0.1, 0, 0), (0.3, 0, 1), (0.45, 1, 1), (0.55, 1, 0)])
def test_pixels_with_a_part_of_ink_are_edges(ink, is_object, is_edge):
    scene = compose(np.full((1, 8, 8), ink), np.random.default_rng(2))
    assert ((scene.owner > 0).sum() >= 32**2) == is_object and (scene.edge.sum() >= 32**2) == is_edge
    assert is_object or not scene.owner.any()
    assert is_edge or not scene.edge.any()


def test_scenes_are_the_same_everywhere():
    source = MAPS.examples("test[:20]")
    labels = np.stack([source.label(i) for i in range(20)])
    assert hashlib.sha256(labels.tobytes()).hexdigest()[:16] == "c67c11a55b8edbb2"
    images = np.stack([source[i][0] for i in range(20)]).astype(float)
    np.testing.assert_allclose(images.mean(), 132.6093, atol=0.01)


def test_parts_and_identity():
    assert len(OBJECTS.examples("train[:10%]+test[5:9]")) == 292
    index = np.arange(360)
    objects, maps = OBJECTS.examples("test"), MAPS.examples("test")
    assert objects.identity(index, "contents").digests == maps.identity(index, "contents").digests
    assert objects.presence().sum() == sum(len(objects.annotations(i)) for i in range(360))
    assert (maps.presence()[:, 0] == 1).all()


def test_scenes_have_no_class_of_their_own():
    with pytest.raises(ValueError, match="expected label_kind='boxes', 'pixels' or 'caption', got 'class'"):
        data.open_dataset("scenes")
