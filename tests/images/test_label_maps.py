"""Resizing of label maps and masks."""

import numpy as np
import pytest
from PIL import Image

from resnet_jax.images.label_maps import resize_labels


@pytest.mark.parametrize("size", [(7, 9), (20, 13), (3, 30)])
def test_values_are_those_at_the_centres_as_pillow_takes_them(size):
    labels = np.random.default_rng(0).integers(0, 256, (7, 9), np.uint8)
    expected = Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resize_labels(labels, size, centers=True), expected)


@pytest.mark.parity
@pytest.mark.parametrize("size", [(7, 9), (20, 13), (3, 30), (49, 50)])
def test_values_are_those_at_the_corners_as_torch_takes_them(size):
    torch = pytest.importorskip("torch")
    masks = np.random.default_rng(0).integers(0, 2, (4, 7, 9), np.uint8)
    expected = torch.nn.functional.interpolate(torch.from_numpy(masks)[None].float(), size)[0].numpy()
    np.testing.assert_array_equal(resize_labels(masks, size), expected)


def test_corners_of_an_enlarged_and_a_reduced_mask():
    assert resize_labels(np.arange(3)[None], (1, 7)).tolist() == [[0, 0, 0, 1, 1, 2, 2]]
    assert resize_labels(np.arange(7)[None], (1, 3)).tolist() == [[0, 2, 4]]
