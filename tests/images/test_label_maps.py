"""Resizing of label maps and masks."""

import numpy as np
import pytest
from PIL import Image

from resnet_jax.images.label_maps import enlarge_labels, resize_labels


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


def test_edges_of_enlarged_regions_are_lines():
    """A diagonal edge of blocks of 8 pixels stays within 3 pixels of its line; straight edges and classes stay."""
    rows, columns = np.mgrid[:16, :16]
    enlarged = enlarge_labels(np.where(rows > columns, 3, 254).astype(np.uint8), (128, 128))
    middle = np.arange(16, 112)
    edge = (enlarged[:, middle] == 254).sum(0)  # rows above the diagonal
    assert np.abs(edge - middle - 4).max() <= 3 and {*np.unique(enlarged).tolist()} == {3, 254}
    halves = np.repeat(np.array([[0, 1]], np.uint8), 2, axis=0)
    np.testing.assert_array_equal(enlarge_labels(halves, (4, 6)), np.repeat([[0, 0, 0, 1, 1, 1]], 4, axis=0))
    np.testing.assert_array_equal(enlarge_labels(halves, (2, 2)), halves)
