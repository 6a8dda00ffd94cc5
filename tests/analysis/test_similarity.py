"""The picture of the cosines of images and captions."""

import numpy as np
import pytest
from PIL import Image

from resnet_jax.analysis.similarity import draw_similarity


def test_the_picture_has_the_matrix_and_the_images(tmp_path):
    pytest.importorskip("matplotlib")
    images = [np.full((8, 8, 3), (255, 0, 0), np.uint8), None, np.full((8, 8, 1), 70, np.uint8)]
    captions = ["a $cat$", "two dogs" * 20, "猫"]
    (file,) = draw_similarity(images, captions, np.eye(3), tmp_path / "new/similarity", heading="a $b$")
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert file.name == "similarity.png"
    for colour in ((255, 0, 0), (70, 70, 70)):
        assert (pixels == colour).all(1).sum() > 500, colour
