import numpy as np
import pytest
from PIL import Image

from resnet_jax import Preprocess
from resnet_jax.data import read_images
from resnet_jax.errors import UnreadableImage
from resnet_jax.images.crops import centre_crop
from resnet_jax.images.decoding import read_image


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_resized_and_cropped_as_evaluation_does(tmp_path, channels):
    file, pixels = tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    Image.fromarray(pixels).save(file)
    images = read_images([file, str(file)], Preprocess(8, 10, (0.5,) * channels, (0.5,) * channels))
    expected = centre_crop(read_image(file.read_bytes(), "a.png", channels), resize=10, size=8)
    assert images.shape == (2, 8, 8, channels) and images.dtype == np.uint8
    np.testing.assert_array_equal(images[1], expected)


def test_mistakes_are_named(tmp_path):
    preprocess = Preprocess(8, 8, (0.5,), (0.5,))
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(UnreadableImage, match="a.png"):
        read_images([tmp_path / "a.png"], preprocess)
    with pytest.raises(TypeError, match=r"expected a list of images, got 'a.png'"):
        read_images("a.png", preprocess)
    with pytest.raises(ValueError, match="at least one image file"):
        read_images([], preprocess)
