import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.data import make_augment
from resnet_jax.data.augment import flip, pad_crop

KEY = jax.random.key(5)
IMAGES = jnp.asarray(np.random.default_rng(0).integers(1, 256, (64, 4, 5, 2), np.uint8))
INDEX = jnp.arange(64)


def test_crops_are_windows_of_the_padded_image_at_every_offset():
    cropped = np.asarray(pad_crop(IMAGES, 1, KEY, INDEX))
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)))
    found = set()
    for image, whole in zip(cropped, padded, strict=True):
        fits = [(i, j) for i in range(3) for j in range(3) if (image == whole[i : i + 4, j : j + 5]).all()]
        assert len(fits) == 1
        found.update(fits)
    assert len(found) == 9


def test_flips_mirror_about_half_of_the_images():
    flipped = np.asarray(flip(IMAGES, KEY, INDEX))
    mirrored = (flipped == IMAGES[:, :, ::-1]).all((1, 2, 3))
    assert ((flipped == IMAGES).all((1, 2, 3)) ^ mirrored).all()
    assert 16 < mirrored.sum() < 48


def test_draws_follow_the_global_index():
    augment = make_augment(lambda x: x / 255, padding=2, horizontal_flip=True)
    whole = augment({"image": IMAGES, "index": INDEX}, KEY)["image"]
    part = augment({"image": IMAGES[24:40], "index": INDEX[24:40]}, KEY)["image"]
    np.testing.assert_array_equal(whole[24:40], part)
    again = augment({"image": IMAGES, "index": INDEX}, jax.random.key(6))["image"]
    assert (whole != again).any()


def test_without_options_images_are_only_prepared():
    batch = {"image": IMAGES, "label": INDEX, "index": INDEX}
    augmented = make_augment(lambda x: x + 1)(batch, KEY)
    np.testing.assert_array_equal(augmented["image"], IMAGES + 1)
    assert augmented["label"] is INDEX
