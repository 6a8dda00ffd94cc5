"""Crops of test-time augmentation."""

import numpy as np
from PIL import Image

from resnet_jax.evaluation.crops import mirrored, ten_crops, whole


def test_views_of_a_strip_are_at_most_three_times_its_width():
    strip = Image.fromarray(np.arange(2000, dtype=np.uint16).view(np.uint8).reshape(4, 1000))
    assert whole(strip, resize=40).shape == (40, 104, 1)
    assert whole(strip.rotate(90, expand=True), resize=40).shape == (104, 40, 1)


def test_ten_crops_are_the_corners_the_middle_and_their_mirror_images():
    pixels = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9)
    crops = ten_crops(Image.fromarray(pixels), resize=6, size=4)
    corners = [pixels[:4, :4], pixels[:4, 5:], pixels[2:, :4], pixels[2:, 5:], pixels[1:5, 2:6]]
    np.testing.assert_array_equal([crop[..., 0] for crop in crops[:5]], corners)
    np.testing.assert_array_equal(crops[5:], [mirrored(crop) for crop in crops[:5]])
