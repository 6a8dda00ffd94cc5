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


@pytest.mark.parametrize("similarity", [[[np.nan] * 2] * 2, [[np.nan, 0.5], [0.2, -0.1]], [[1, 1], [1, 1]]])
def test_cosines_that_are_nan_or_equal_are_drawn(tmp_path, similarity):
    pytest.importorskip("matplotlib")
    (file,) = draw_similarity(
        [None, None], ["a cat", "a dog"], np.array(similarity), tmp_path / "similarity", heading="a run"
    )
    assert file.is_file()


def test_numbers_are_light_on_dark_squares_alone(tmp_path, monkeypatch):
    """The scale begins at the lowest cosine: 0.9 is light, and a white number there could not be read."""
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    colors, text = {}, Axes.text
    monkeypatch.setattr(Axes, "text", lambda self, *a, **k: (colors.update({a[2]: k["color"]}), text(self, *a, **k))[1])
    cosines = np.array([[0.95, 0.9], [0.91, 0.94]])
    draw_similarity([None, None], ["a cat", "a dog"], cosines, tmp_path / "similarity", heading="a run")
    assert colors == {"95": "white", "90": "black", "91": "black", "94": "white"}
