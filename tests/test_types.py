"""Preprocessing of images, and nets with their trained variables."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from PIL import Image

from resnet_jax import Preprocess, Pretrained, create_model


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
        (Image.new("RGB", (4, 4)), TypeError, r"got PIL.Image; numpy.asarray\(image\)\[None\] is a batch of one"),
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
