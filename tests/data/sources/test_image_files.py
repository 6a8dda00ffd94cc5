"""Image files."""

import os

import numpy as np
import pytest
from pictures import pictures

from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.errors import UnreadableImage


def test_files_are_read_when_they_are_asked_for(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    source = ImageFileSource([tmp_path / name for name in ("a.png", "b.png", "gone.png")], np.arange(3), tuple("abc"))
    assert source[1] == ((tmp_path / "b.png").read_bytes(), 1) and source.name(1) == str(tmp_path / "b.png")
    with pytest.raises(UnreadableImage, match="gone.png: No such file"):
        source[2]
    os.mkfifo(tmp_path / "gone.png")
    with pytest.raises(UnreadableImage, match="gone.png: not a file"):
        source[2]


def test_known_fingerprints_follow_the_selected_files(tmp_path):
    contents = np.array([7, 8, 9], np.uint64)
    source = ImageFileSource([tmp_path / f"{n}.png" for n in range(3)], np.arange(3), tuple("abc"), contents=contents)
    part = source.take(np.array([2, 0]))
    assert part.identity(np.array([1, 0]), "contents").fingerprints.tolist() == [7, 9]
    assert part.identity(np.array([1, 0]), "contents").labels.tolist() == [0, 2]
