import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_windows import CANVAS, GOLDEN, make_examples, windows_by_torchvision

from resnet_jax.data import make_dense_augment
from resnet_jax.data.augment.dense import (
    Window,
    sample_window,
    window_boxes,
    window_images,
    window_maps,
)
from resnet_jax.data.augment.device import jitter_colors

KEY = jax.random.key(3)


@jax.jit
def windows(examples):
    window = Window(*(examples[name] for name in Window._fields))
    boxes, has_area = window_boxes(examples["boxes"], window)
    masks, label_map = window_maps(examples["masks"], window, 0), window_maps(examples["label_map"], window, 255)
    return window_images(examples["image"], window), masks, label_map, boxes, has_area


def check_windows(examples, expected):
    images, masks, label_map, boxes, has_area = windows(examples)
    # Rounded to whole values here and not there, in float32 here and in float64 there.
    np.testing.assert_allclose(np.asarray(images, float), expected["image"], atol=0.5001)
    np.testing.assert_array_equal(masks, expected["masks"])
    np.testing.assert_array_equal(label_map, expected["label_map"])
    np.testing.assert_allclose(boxes, expected["boxes"], atol=1e-5)
    sides = expected["boxes"][..., 2:] - expected["boxes"][..., :2]
    np.testing.assert_array_equal(has_area, (sides > 0).all(-1))
    assert 0 < np.mean(has_area) < 1


def test_windows_are_those_of_torchvision():
    check_windows(make_examples(0, 8), np.load(GOLDEN))


@pytest.mark.parity
def test_windows_are_those_of_the_real_library():
    np.testing.assert_allclose(
        windows_by_torchvision(make_examples(0, 8))["image"], np.load(GOLDEN)["image"], rtol=1e-6
    )
    examples = make_examples(1, 200)
    check_windows(examples, windows_by_torchvision(examples))


def make_batch(seed=0, count=8):
    """Both kinds of labels; objects 4 and 5 of each image are padding."""
    examples = make_examples(seed, count)
    valid = np.arange(6) < 4
    labels = np.where(valid, np.arange(6), -1)[None].repeat(count, 0)
    boxes = {"label": labels, "boxes": np.where(valid[:, None], examples["boxes"], 0), "masks": examples["masks"]}
    common = {"image": examples["image"], "size": examples["size"], "index": np.arange(count) + 40}
    as_arrays = lambda batch: {name: jnp.asarray(x) for name, x in batch.items()}  # noqa: E731
    return as_arrays({**common, **boxes}), as_arrays({**common, "label": examples["label_map"]})


AUGMENT = {
    kind: jax.jit(make_dense_augment(lambda x: x / 255 + 1, kind, scale_jitter=(0.4, 2.5), horizontal_flip=True))
    for kind in ("boxes", "pixels")
}


def test_images_boxes_masks_and_label_maps_move_together():
    objects, maps = make_batch()
    window = sample_window(objects["size"], CANVAS, (0.4, 2.5), True, jax.random.split(KEY)[0], objects["index"])
    images, masks, label_map, boxes, has_area = windows({**window._asdict(), **objects, "label_map": maps["label"]})
    augmented, augmented_maps = AUGMENT["boxes"](objects, KEY), AUGMENT["pixels"](maps, KEY)
    np.testing.assert_array_equal(augmented["size"], window.window)
    rows, columns = np.arange(CANVAS[0])[None, :, None], np.arange(CANVAS[1])[None, None]
    inside = (rows < window.window[:, :1, None]) & (columns < window.window[:, 1:, None])
    np.testing.assert_allclose(augmented["image"], np.where(inside[..., None], images / 255 + 1, 0), atol=1e-6)
    np.testing.assert_array_equal(augmented["image"], augmented_maps["image"])
    valid = np.asarray(has_area) & (np.arange(6) < 4)
    np.testing.assert_array_equal(augmented["label"], np.where(valid, np.arange(6), -1))
    assert (augmented["label"] == -1).sum() > 8 * 2  # some have left their canvas
    np.testing.assert_allclose(augmented["boxes"], np.where(valid[..., None], boxes, 0), atol=1e-4)
    np.testing.assert_array_equal(augmented["masks"], np.where(valid[..., None, None], masks, 0))
    np.testing.assert_array_equal(augmented_maps["label"], label_map)
    assert (np.asarray(augmented_maps["label"])[~inside] == 255).all()


def test_windows_are_sampled_as_torchvisions_classes_do():
    size = jnp.tile(jnp.array([[10, 16]]), (500, 1))
    window = sample_window(size, CANVAS, (0.5, 2.0), True, KEY, jnp.arange(500))
    resized, corner = np.asarray(window.resized), np.asarray(window.corner)
    # The largest that fits is 15 x 24; ScaleJitter rounds both sides down.
    assert resized.min(0).tolist() == [7, 12] and (resized.max(0) >= [29, 47]).all() and (resized <= [30, 48]).all()
    np.testing.assert_allclose(resized[:, 1] / resized[:, 0], 1.6, rtol=0.15)
    room = np.maximum(resized - CANVAS, 0)
    assert (corner <= room).all() and (corner[room > 4] > 0).mean() > 0.7
    assert 200 < np.asarray(window.flipped).sum() < 300
    still = sample_window(size, CANVAS, None, False, KEY, jnp.arange(500))
    assert (still.resized == size).all() and not still.corner.any() and not still.flipped.any()


def test_samples_follow_the_global_index():
    objects, _ = make_batch()
    whole = AUGMENT["boxes"](objects, KEY)
    order = np.array([5, 0, 3, 7, 1, 2, 6, 4])
    moved = AUGMENT["boxes"]({name: x[order] for name, x in objects.items()}, KEY)
    for name, x in moved.items():
        np.testing.assert_allclose(x, whole[name][order], atol=1e-5, err_msg=name)


def test_without_options_images_are_only_prepared_and_padding_is_zero():
    objects, _ = make_batch()
    augmented = make_dense_augment(lambda x: x / 255 + 1, "boxes")(objects, KEY)
    assert all(augmented[name] is objects[name] for name in objects if name != "image")
    for image, before, (height, width) in zip(augmented["image"], objects["image"], objects["size"], strict=True):
        np.testing.assert_allclose(image[:height, :width], before[:height, :width] / 255 + 1, rtol=1e-6)
        assert not image[height:].any() and not image[:, width:].any()


def test_colours_change_as_without_padding():
    """Contrast is about the mean grey, which padding must not change."""
    image = np.random.default_rng(0).integers(0, 256, (4, 7, 9, 3), np.uint8)
    padded = jnp.zeros((4, *CANVAS, 3), jnp.uint8).at[:, :7, :9].set(image)
    strengths, index = (0.4, 0.5, 0.6, 0.1), jnp.arange(4)
    changed = jitter_colors(padded, strengths, KEY, index, jnp.tile(jnp.array([[7, 9]]), (4, 1)))
    np.testing.assert_array_equal(changed[:, :7, :9], jitter_colors(jnp.asarray(image), strengths, KEY, index))
