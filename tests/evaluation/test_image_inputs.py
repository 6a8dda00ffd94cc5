"""Image files by paths, patterns and folders; "-" is standard input."""

import io
import re
import sys

import numpy as np
import pytest
from pictures import pictures

from resnet_jax.errors import DataError
from resnet_jax.evaluation.image_inputs import STDIN, ImageInputs, image_files


def test_files_keep_their_order_and_folders_and_patterns_are_sorted(tmp_path):
    pictures(tmp_path, "b.png", "a.png", "cats/2.png", "cats/1.png", "cats/deep/0.png")
    names = [tmp_path / "b.png", tmp_path / "cats", "-", str(tmp_path / "[ab].png")]
    files = [file if file == STDIN else file.relative_to(tmp_path) for file in image_files(names)]
    assert list(map(str, files)) == ["b.png", "cats/1.png", "cats/2.png", "cats/deep/0.png", "-", "a.png", "b.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.png", "no image or folder 'nowhere.png'"),
        ("*.png", "no image or folder '*.png'"),
        ("empty", "expected images in empty, got none"),
        ("store", "store is a packed set; expected files of images, or folders of them"),
        ("https://example.org/cat.jpg", "got the address https://example.org/cat.jpg; nothing is downloaded"),
    ],
)
def test_names_without_images_are_errors(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "packed.json").touch()
    with pytest.raises((FileNotFoundError, ValueError), match=re.escape(message)):
        image_files([name])


def test_standard_input_is_read_once_and_must_not_be_empty(monkeypatch):
    source = ImageInputs([STDIN, STDIN], np.zeros(2, np.int32), ("",))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"an image")))
    assert source[0] == source[1] == (b"an image", 0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(DataError, match="expected an image on standard input, got nothing"):
        ImageInputs([STDIN], np.zeros(1, np.int32), ("",))[0]
