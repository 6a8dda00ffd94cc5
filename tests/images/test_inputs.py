"""Images that a caller passes: paths, PIL images and arrays."""

import io

import numpy as np
import pytest
from PIL import Image

from resnet_jax import Preprocess
from resnet_jax.errors import UnreadableImage
from resnet_jax.images.inputs import read_input

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
GREY = COLOUR[..., 0]


def read(image, channels=3):
    return np.asarray(read_input(image, channels))


def test_a_file_a_pil_image_and_an_array_are_the_same_picture(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "photo.png")
    for image in (tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(COLOUR), COLOUR):
        np.testing.assert_array_equal(read(image), COLOUR)
    for image in (GREY, GREY[..., None], Image.fromarray(GREY)):
        np.testing.assert_array_equal(read(image, 1), GREY)
        np.testing.assert_array_equal(read(image, 3), np.stack([GREY] * 3, -1))
    np.testing.assert_array_equal(read(COLOUR, 1), np.asarray(Image.fromarray(COLOUR).convert("L")))


def test_pil_images_are_read_as_files_are_and_stay_as_they_are():
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "png", exif=exif)
    with Image.open(buffer) as turned:
        np.testing.assert_array_equal(read(turned), np.rot90(COLOUR, -1))
        assert turned.size == (9, 6)
    sixteen = Image.fromarray(GREY.astype(np.uint16) << 8)
    np.testing.assert_array_equal(read(sixteen, 1), GREY)
    clear = Image.new("RGBA", (2, 2), (9, 9, 9, 0))
    assert (read(clear) == 255).all() and (read(np.asarray(clear)) == 255).all()
    assert (read(np.full((2, 2, 2), 0, np.uint8), 1) == 255).all()
    palette = Image.fromarray(COLOUR).quantize(54)
    np.testing.assert_array_equal(read(palette), np.asarray(palette.convert("RGB")))
    np.testing.assert_allclose(read(Image.new("CMYK", (2, 2), (0, 255, 255, 0))), [[[255, 0, 0]] * 2] * 2, atol=3)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (COLOUR / 255, TypeError, r"expected an array uint8 \[H, W, C\] with values 0 to 255, got float64 \[6, 9, 3\]"),
        (COLOUR[None], ValueError, r"got uint8 \[1, 6, 9, 3\]; batch\(images\) takes several"),
        (COLOUR.transpose(2, 0, 1), ValueError, r"of 1 to 4 channels, got uint8 \[3, 6, 9\]"),
        (np.zeros((0, 9, 3), np.uint8), ValueError, r"got uint8 \[0, 9, 3\]"),
        ([COLOUR], TypeError, r"expected an image file, a PIL image or an array uint8 \[H, W, C\], got list"),
        (None, TypeError, "got None"),
        (Image.fromarray(np.zeros((2, 2), np.float32)), UnreadableImage, "image: has float pixels"),
        ("nowhere.png", FileNotFoundError, "nowhere.png"),
    ],
)
def test_other_inputs_are_errors(image, error, message):
    with pytest.raises(error, match=message):
        read_input(image, 3)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (COLOUR, ValueError, r"expected several images, got one of shape \[6, 9, 3\]; did you mean \[image\]"),
        (GREY, ValueError, r"got one of shape \[6, 9\]"),
        (Image.fromarray(COLOUR), TypeError, "expected a list of images, got PIL.Image; did you mean"),
        ("photo.png", TypeError, r"did you mean \['photo.png'\]"),
        ([], ValueError, "expected at least one image"),
    ],
)
def test_one_image_is_not_several(images, error, message):
    with pytest.raises(error, match=message):
        Preprocess(8, 8, (0.5,) * 3, (0.5,) * 3).batch(images)


def test_arrays_of_several_images_are_several():
    grey = Preprocess(8, 8, (0.5,), (0.5,))
    assert grey.batch(np.stack([GREY] * 2)).shape == (2, 8, 8, 1)
    assert grey.batch(np.stack([COLOUR] * 2)).shape == (2, 8, 8, 1)


def test_a_net_of_four_channels_has_no_pictures():
    with pytest.raises(ValueError, match="expected a net of 1 or 3 channels, got 4; resize and crop its images"):
        Preprocess(8, 8, (0.5,) * 4, (0.5,) * 4).image(COLOUR)
