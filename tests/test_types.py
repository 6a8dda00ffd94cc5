"""Preprocessing of images, and nets with their trained variables."""

import json
import pickle
from copy import deepcopy
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from resnet_jax import Preprocess, Pretrained, create_model
from resnet_jax.checkpoints.reader import Checkpoint
from resnet_jax.types import NOUNS, DataKind


class Tensor:
    """Like PyTorch's: not an array, though it has a dtype and a shape."""

    __module__, dtype, shape, ndim = "torch", np.uint8, (1, 3, 4, 4), 4


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 4, 4, 3)), ValueError, r"got float64 \[2, 4, 4, 3\]$"),
        (np.zeros((4, 4, 3), np.uint8), ValueError, r"got uint8 \[4, 4, 3\]; images\[None\] is a batch of one"),
        (np.zeros((2, 3, 4, 4), np.uint8), ValueError, r"got uint8 \[2, 3, 4, 4\]; images.transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 4, 4, 1), np.uint8), ValueError, r"got uint8 \[2, 4, 4, 1\]$"),
        (Image.new("RGB", (4, 4)), TypeError, r"got PIL.Image; preprocess.batch\(\[image\]\) resizes"),
        ([np.zeros((4, 4, 3), np.uint8)], TypeError, r"got list; numpy.stack\(images\)"),
        (Tensor(), TypeError, r"got torch.Tensor; tensor.permute\(0, 2, 3, 1\).numpy\(\)"),
        (None, TypeError, "got None"),
    ],
)
def test_images_that_are_not_bytes_of_the_right_shape_are_refused(images, error, message):
    with pytest.raises(error, match=rf"expected images uint8 \[N, H, W, 3\] with values 0 to 255, {message}"):
        Preprocess(4, 4, (0.5,) * 3, (0.5,) * 3)(images)
    if error is TypeError:
        with pytest.raises(error, match=rf"expected images float \[N, H, W, 3\], .*, {message}"):
            create_model("cifar_resnet8").apply({"params": {}}, images, train=False)


def test_a_batch_is_resized_cropped_and_normalised():
    preprocess = Preprocess(8, 10, (0.5, 0.4, 0.3), (0.2,) * 3, "bicubic")
    images = [np.random.default_rng(i).integers(0, 256, (20 + i, 16, 3), np.uint8) for i in range(2)]
    pixels = [preprocess.image(image) for image in images]
    assert [x.shape for x in pixels] == [(8, 8, 3)] * 2 and pixels[0].dtype == np.uint8
    batch = preprocess.batch([images[0], Image.fromarray(images[1])])
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch, (np.stack(pixels) / 255 - preprocess.mean) / 0.2, atol=1e-5)
    np.testing.assert_array_equal(batch, preprocess(np.stack(pixels)))
    assert preprocess(np.stack([images[0]])).shape == (1, 20, 16, 3)  # which only normalises
    for wrong, error, message in (
        ("photo.jpg", TypeError, r"expected a list of images, got 'photo.jpg'; did you mean \['photo.jpg'\]"),
        ([], ValueError, "expected at least one image, got none"),
    ):
        with pytest.raises(error, match=message):
            preprocess.batch(wrong)
    with pytest.raises(ValueError, match="no mean and deviation are known"):
        Preprocess(8, 8, (), ()).image(images[0])


def test_checkpoints_record_the_crop_mode_only_where_it_is_not_the_usual():
    """Older versions read the others."""
    usual = Preprocess(8, 10, (0.5,), (0.2,), "bicubic", "a run")
    fields = {"image_size": 8, "resize": 10, "mean": (0.5,), "std": (0.2,), "interpolation": "bicubic"}
    assert usual.record() == {**fields, "source": "a run"}
    squashed = Preprocess(8, 10, (0.5,), (0.2,), crop_mode="squash")
    for preprocess in (usual, squashed):
        metadata = json.loads(json.dumps({"preprocess": preprocess.record()}))
        assert Checkpoint(Path("1"), metadata, {}).preprocess == preprocess


def test_pretrained_unpacks_into_four_and_copies_keep_its_classes():
    model, pre = create_model("cifar_resnet8"), Preprocess(4, 4, (0.5,), (0.5,))
    loaded = Pretrained(model, {"params": {}}, pre, "cifar_resnet8", ["a", "b"])
    assert Pretrained(model, {}, pre, "cifar_resnet8").classes is None
    _, variables, preprocess, name = loaded
    assert isinstance(loaded, tuple) and (variables, preprocess, name) == ({"params": {}}, pre, "cifar_resnet8")
    replaced = loaded.__replace__(name="x")  # Python 3.13's copy.replace calls it
    assert replaced.name == "x"
    for copy in (replaced, loaded._replace(name="x"), pickle.loads(pickle.dumps(loaded)), deepcopy(loaded)):
        assert type(copy) is Pretrained and copy.classes == ("a", "b") and copy.model == model


def test_padded_images_are_zero_beyond_their_sizes():
    preprocess = Preprocess(40, 30, (0.3, 0.4, 0.5), (0.2, 0.2, 0.2), crop_mode="pad")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    images, sizes = preprocess.batch_and_sizes([pixels, pixels.transpose(1, 0, 2)])
    assert images.shape == (2, 40, 40, 3) and sizes.dtype == np.int32 and sizes.tolist() == [[30, 40], [40, 30]]
    assert not np.asarray(images[0, 30:]).any() and not np.asarray(images[1, :, 30:]).any()
    np.testing.assert_array_equal(images[0, :30], preprocess(preprocess.image(pixels)[None])[0, :30])
    np.testing.assert_array_equal(preprocess.batch([pixels]), images[:1])
    assert Preprocess(8, 10, (0.5,), (0.2,)).batch_and_sizes([pixels])[1].tolist() == [[8, 8]]
    assert Preprocess(**preprocess.record()) == preprocess


def test_every_kind_of_data_has_its_words():
    assert list(NOUNS) == list(get_args(DataKind))
    assert NOUNS["audio"] == ("sound", "sounds") and NOUNS["series"] == ("series", "series")
