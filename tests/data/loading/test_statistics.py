"""Channels and bit depth of a data source's images."""

import io
import re

import numpy as np
from PIL import Image

from resnet_jax.data.loading.statistics import depth_note, infer_channels, sample
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.image_files import ImageFileSource


def encoded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def sixteen_bits(path, largest):
    Image.fromarray(np.linspace(0, largest, 16).astype(np.uint16).reshape(4, 4)).save(path)
    return path


def test_images_of_12_bits_in_16_are_reported(tmp_path):
    paths = [sixteen_bits(tmp_path / f"{n}.png", 4000 + n) for n in range(20)]
    (tmp_path / "damaged.png").write_bytes(b"no image")

    def note(*paths):
        return depth_note(ImageFileSource(paths, np.zeros(len(paths), np.int32), ("a",)))

    message = "16-bit images with no value above 4,019: .* has few levels; multiply the values by 16 when you write"
    assert re.match(message, note(*paths))
    assert "multiply the values by 64" in note(sixteen_bits(tmp_path / "ten.tif", 1000), tmp_path / "gone.png")
    assert note(*paths, sixteen_bits(tmp_path / "whole.png", 5000)) is None
    Image.new("L", (4, 4)).save(tmp_path / "8.png")
    assert note(tmp_path / "8.png") is None and note(tmp_path / "damaged.png") is None and note() is None
    assert depth_note(ArraySource(np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, int), ("a",), "x.npz")) is None


def test_statistics_of_a_large_set_need_a_sample():
    assert sample(3) == [0, 1, 2]
    chosen = sample(10_000)
    assert len(set(chosen)) == 500 and chosen == sorted(chosen) == sample(10_000)
    assert max(np.diff(chosen)) < 300  # from all over


def test_one_coloured_image_among_grey_ones_makes_three_channels():
    grey, colour = (encoded(np.zeros(shape, np.uint8)) for shape in ((4, 4), (4, 4, 3)))
    for last, channels in ((colour, 3), (b"", 1)):  # the loader reports an unreadable one
        assert infer_channels(ArraySource([grey] * 20 + [last], np.zeros(21, int), ("a",), "x")) == channels
