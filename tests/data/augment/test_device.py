import colorsys
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.data import make_augment
from resnet_jax.data.augment.device import cut_out, flip, jitter_colors, mix, pad_crop, shift_hue
from resnet_jax.ops import sample_per_example

KEY = jax.random.key(5)
IMAGES = jnp.asarray(np.random.default_rng(0).integers(1, 256, (64, 4, 5, 2), np.uint8))
INDEX = jnp.arange(64)


def test_crops_are_windows_of_the_padded_image_at_every_offset():
    cropped = np.asarray(pad_crop(IMAGES, 1, KEY, INDEX))
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = set()
    for image, whole in zip(cropped, padded, strict=True):
        fits = [(i, j) for i in range(3) for j in range(3) if (image == whole[i : i + 4, j : j + 5]).all()]
        assert len(fits) == 1
        corners.update(fits)
    assert len(corners) == 9


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


# Colour jitter.


PHOTOGRAPHS = np.random.default_rng(1).integers(0, 256, (12, 5, 6, 3), np.uint8)
STRENGTHS = (0.4, 0.5, 0.6, 0.1)


def luma(x):
    return (x @ [0.299, 0.587, 0.114])[..., None]


def turn(x, by):
    """The hue of [H, W, 3] turned by the standard library."""
    pixels = [colorsys.rgb_to_hsv(*pixel) for pixel in x.reshape(-1, 3)]
    return np.array([colorsys.hsv_to_rgb((h + by) % 1, s, v) for h, s, v in pixels]).reshape(x.shape)


CHANGES = (  # of an image with values in [0, 1], by a factor; contrast is about the mean grey of the image
    lambda x, by: x * by,
    lambda x, by: by * x + (1 - by) * luma(x).mean(),
    lambda x, by: by * x + (1 - by) * luma(x),
    turn,
)


def jitter_by_hand(images, strengths, key, index):
    order_key, draw_key = jax.random.split(key)
    used = [i for i, strength in enumerate(strengths) if strength]
    order = np.asarray(jax.random.permutation(order_key, jnp.array(used)))
    low = jnp.array([max(0, 1 - s) for s in strengths[:3]] + [-strengths[3]])
    high = jnp.array([1 + s for s in strengths[:3]] + [strengths[3]])
    factors = sample_per_example(lambda k: jax.random.uniform(k, (4,), minval=low, maxval=high), draw_key, index)
    out = []
    for image, factor in zip(images / 255, np.asarray(factors, np.float64), strict=True):
        for which in order:
            image = np.clip(CHANGES[which](image, factor[which]), 0, 1)
        out.append(image * 255)
    return np.array(out), order


@pytest.mark.parametrize("strengths", [*(np.eye(4) * STRENGTHS), (0.4, 0, 0.6, 0.1), (1.5, 0, 0, 0.5), STRENGTHS])
def test_colour_jitter_is_that_of_the_formulas(strengths):
    """Within a level of 255; each change alone, and several in the sampled order."""
    strengths = tuple(map(float, strengths))
    orders = set()
    for seed in range(6 if min(strengths) else 2):
        key, index = jax.random.key(seed), jnp.arange(12)
        expected, order = jitter_by_hand(PHOTOGRAPHS, strengths, key, index)
        got = jitter_colors(jnp.asarray(PHOTOGRAPHS), strengths, key, index)
        assert got.dtype == jnp.uint8
        np.testing.assert_allclose(np.asarray(got, float), expected, atol=1)
        assert abs(expected - PHOTOGRAPHS).max() > 10
        orders.add(tuple(order))
    assert min(strengths) == 0 or len(orders) > 3


def test_the_factors_of_colour_jitter_are_those_asked_for():
    """Uniform between 1 - s and 1 + s, one for each image."""
    images = jnp.full((4000, 1, 1, 3), 100, jnp.uint8)
    factors = np.asarray(jitter_colors(images, (0.4, 0.0, 0.0, 0.0), KEY, jnp.arange(4000)))[:, 0, 0, 0] / 100
    assert 0.59 < factors.min() < 0.62 and 1.38 < factors.max() < 1.41
    counts = np.histogram(factors, 8, (0.595, 1.405))[0]
    assert (abs(counts - 500) < 5 * math.sqrt(500)).all()


def test_no_colour_jitter_leaves_pixels_as_they_are():
    levels = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1)
    for images in (jnp.asarray(PHOTOGRAPHS), jnp.concatenate([levels, levels[:, ::-1], levels], -1)):
        index = jnp.arange(len(images))
        np.testing.assert_array_equal(jitter_colors(images, (0.0,) * 4, KEY, index), images)
        batch = {"image": images, "index": index}
        np.testing.assert_array_equal(make_augment(lambda x: x, color_jitter=(0.0,) * 4)(batch, KEY)["image"], images)


@settings(deadline=None, max_examples=20)
@given(turns=st.floats(-0.5, 0.5), seed=st.integers(0, 100))
def test_hues_turn_as_in_the_standard_library(turns, seed):
    """Greys among them, and colours in which two channels are equal."""
    levels = np.random.default_rng(seed).choice([0, 0.25, 0.5, 1], (1, 4, 5, 3))
    got = shift_hue(jnp.asarray(levels, jnp.float32), jnp.full((1, 1, 1, 1), turns, jnp.float32))
    np.testing.assert_allclose(got[0], turn(levels[0], turns), atol=1e-5)


# Cutout.


@pytest.mark.parametrize("size", [1, 4, 5])
def test_cutout_sets_a_square_about_any_pixel_to_0(size):
    n, height, width = 2000, 6, 7
    cut = np.asarray(cut_out(jnp.ones((n, height, width, 3)), size, KEY, jnp.arange(n))) == 0
    assert (cut == cut[..., :1]).all()
    boxes = {}
    for y in range(height):
        for x in range(width):
            box = np.zeros((height, width), bool)
            top, left = y - size // 2, x - size // 2
            box[max(0, top) : top + size, max(0, left) : left + size] = True
            boxes[box.tobytes()] = 0
    assert len(boxes) == height * width
    for one in cut[..., 0]:
        boxes[one.tobytes()] += 1  # fails on any other shape
    mean = n / len(boxes)
    assert all(abs(count - mean) < 5 * math.sqrt(mean) for count in boxes.values())


def test_cutout_leaves_the_rest_as_it_is():
    images = jnp.asarray(PHOTOGRAPHS, jnp.float32) + 1
    cut = np.asarray(cut_out(images, 3, KEY, jnp.arange(12)))
    np.testing.assert_array_equal(cut[cut != 0], np.asarray(images)[cut != 0])
    assert not np.asarray(cut_out(images, 20, KEY, jnp.arange(12))).any()


# Mixup and CutMix.


N, SIDES = 64, (9, 12)


def marked(n=N, mask=None):
    """Images, all of one value each (1, 2, 3, ...), and a class each."""
    images = jnp.broadcast_to(jnp.arange(1.0, n + 1)[:, None, None, None], (n, *SIDES, 3))
    mask = jnp.ones(n) if mask is None else jnp.asarray(mask, jnp.float32)
    return {"image": images, "label": jnp.arange(n), "mask": mask, "index": jnp.arange(n)}


def mixed(mixup=0.0, cutmix=0.0, key=KEY, batch=None):
    batch = mix(marked() if batch is None else batch, key, mixup=mixup, cutmix=cutmix, num_classes=N)
    return {name: np.asarray(value) for name, value in batch.items()}


def other(n):
    return n ^ 1


@pytest.mark.parametrize("alphas", [(0.5, 0.0), (0.0, 1.0), (0.5, 1.0)])
def test_labels_are_shares_of_an_image_and_its_neighbour(alphas):
    batch = mixed(*alphas)
    labels = batch["label"]
    assert labels.shape == (N, N) and labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    shares, neighbours = labels[np.arange(N), np.arange(N)], labels[np.arange(N), other(np.arange(N))]
    assert (shares >= 0).all() and (neighbours >= 0).all()
    np.testing.assert_allclose(shares + neighbours, 1, atol=1e-6)
    np.testing.assert_array_equal(shares[::2], shares[1::2])  # one share for the two of a pair
    assert len(set(shares)) > 10
    # What the pixels say: on average they are of the two in just these shares.
    value, others = np.arange(1.0, N + 1), other(np.arange(N)) + 1.0
    np.testing.assert_allclose(batch["image"].mean((1, 2, 3)), shares * value + neighbours * others, rtol=1e-5)
    assert (batch["mask"] == 1).all()


def test_mixup_blends_each_pixel():
    batch = mixed(mixup=0.5)
    share = batch["label"][np.arange(N), np.arange(N)][:, None, None, None]
    images = np.asarray(marked()["image"])
    expected = share * images + (1 - share) * images[other(np.arange(N))]
    np.testing.assert_allclose(batch["image"], expected, rtol=1e-6)


def test_mixup_shares_are_of_a_beta_distribution():
    for alpha in (0.2, 1.0):
        shares = np.concatenate([mixed(mixup=alpha, key=jax.random.key(i))["label"].diagonal()[::2] for i in range(20)])
        error = 5 / math.sqrt(len(shares))
        assert abs(shares.mean() - 0.5) < 0.5 * error
        assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.25 * error


def test_cutmix_pastes_one_box_of_the_neighbour_and_counts_its_pixels():
    batch = mixed(cutmix=1.0)
    seen = []
    for n, (image, label) in enumerate(zip(batch["image"], batch["label"], strict=True)):
        pasted = image == other(n) + 1
        assert ((image == n + 1) ^ pasted).all() and (pasted == pasted[..., :1]).all()
        pasted = pasted[..., 0]
        rows, columns = pasted.any(1), pasted.any(0)
        np.testing.assert_array_equal(pasted, np.outer(rows, columns))
        for line in (rows, columns):
            assert abs(np.diff(line.astype(int), prepend=0, append=0)).sum() in (0, 2)  # in one piece
        np.testing.assert_allclose(label[other(n)], pasted.mean(), atol=1e-7)
        seen.append(pasted)
    np.testing.assert_array_equal(seen[::2], seen[1::2])  # in both of a pair the same box
    shares = np.array([box.mean() for box in seen])
    assert shares.min() < 0.1 and shares.max() > 0.5
    touched = np.any(seen, 0)
    assert touched.all()


def test_with_both_a_pair_takes_one_or_the_other():
    batch = mixed(mixup=1.0, cutmix=1.0)
    value = np.arange(1, N + 1)[:, None, None, None]
    whole = ((batch["image"] == value) | (batch["image"] == other(np.arange(N))[:, None, None, None] + 1)).all(
        (1, 2, 3)
    )
    np.testing.assert_array_equal(whole[::2], whole[1::2])
    assert 16 < whole.sum() < 48


def test_what_is_mixed_with_padding_counts_for_nothing():
    mask = np.ones(N)
    mask[[5, 10, 11, 40]] = 0
    expected = mask.copy()
    expected[[4, 41]] = 0
    for alphas in ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
        np.testing.assert_array_equal(mixed(*alphas, batch=marked(mask=mask))["mask"], expected)


def test_a_label_outside_the_classes_makes_its_pair_nan():
    labels = jnp.arange(N).at[5].set(-1).at[8].set(N)
    nan = np.isnan(mixed(mixup=0.5, batch=marked() | {"label": labels})["label"]).any(1)
    np.testing.assert_array_equal(np.flatnonzero(nan), [4, 5, 8, 9])
    with pytest.raises(ValueError, match=r"expected labels int \[N\], got int32 \[64, 1\]"):
        mixed(mixup=0.5, batch=marked() | {"label": labels[:, None]})


def test_an_odd_number_of_images_cannot_be_mixed():
    with pytest.raises(ValueError, match="expected an even number of images a device, got 7"):
        mixed(mixup=0.5, batch=marked(7))


PIXELS = {"padding": 2, "horizontal_flip": True, "color_jitter": STRENGTHS, "cutout": 3}
MIXING = {"mixup": 0.5, "cutmix": 1.0, "num_classes": 10}


@pytest.mark.parametrize("options", [PIXELS, MIXING], ids=["pixels", "mixing"])
def test_shards_see_what_the_whole_batch_would(options, monkeypatch):
    """1, 4 or 8 equal shards, each with its place in the global batch."""
    # Another distribution of the same key: compiling the real one takes seconds for every shape.
    monkeypatch.setattr(jax.random, "beta", lambda key, *_: jax.random.uniform(key))
    augment = jax.jit(make_augment(lambda x: x.astype(jnp.float32) / 255, **options))
    images = np.random.default_rng(2).integers(0, 256, (16, 8, 9, 3), np.uint8)
    batch = {"image": images, "label": np.arange(16) % 10, "mask": np.ones(16, np.float32), "index": np.arange(16)}
    whole = augment(batch, KEY)
    for shards in (1, 4, 8):
        n = 16 // shards
        parts = [augment({name: value[i : i + n] for name, value in batch.items()}, KEY) for i in range(0, 16, n)]
        for name in whole:
            together = np.concatenate([part[name] for part in parts])
            np.testing.assert_allclose(together, whole[name], rtol=0, atol=2e-7, err_msg=name)
    again = augment(batch, jax.random.key(6))
    assert (np.asarray(whole["image"]) != np.asarray(again["image"])).any()


def test_old_names_of_settings_warn_and_work():
    with pytest.warns(DeprecationWarning, match="is now make_augment"):
        old = make_augment(lambda x: x.astype(jnp.float32), jitter=STRENGTHS, cutout_size=3)
    new = make_augment(lambda x: x.astype(jnp.float32), color_jitter=STRENGTHS, cutout=3)
    batch = {"image": jnp.asarray(PHOTOGRAPHS), "label": jnp.zeros(len(PHOTOGRAPHS), int)}
    batch["index"] = jnp.arange(len(PHOTOGRAPHS))
    np.testing.assert_array_equal(old(batch, KEY)["image"], new(batch, KEY)["image"])
