import json
import os
from dataclasses import replace

import numpy as np
import pytest

from resnet_jax.data import open_dataset
from resnet_jax.data.packing import PackOptions, pack
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.packed import MANIFEST, PackedSource, read_manifest
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.data.sources.subsets import known_labels
from resnet_jax.errors import UnreadableImage

SHAPES = [(4, 6, 3), (3, 3, 1), (5, 4, 3)]


@pytest.fixture
def folder(tmp_path):
    images = [np.full(shape, 50 * number, np.uint8) for number, shape in enumerate(SHAPES)]
    source = ArraySource(images, np.array([2, 0, 1]), ("a", "b", "c"), "set.npz")
    return pack(StoredDataset("set", {"train": source}), tmp_path / "out", PackOptions(8)).folder


def test_examples_are_the_pixels_and_the_labels(folder):
    source = open_dataset(path=str(folder)).examples("train")
    assert isinstance(source, PackedSource) and len(source) == 3 and source.classes == ("a", "b", "c")
    assert [source[i][0].shape for i in range(3)] == SHAPES
    assert [(int(source[i][0].max()), source[i][1]) for i in range(3)] == [(0, 2), (50, 0), (100, 1)]
    part = source.take(np.array([2, 0]))
    assert [part[i][0].shape for i in range(2)] == [SHAPES[2], SHAPES[0]] and known_labels(part).tolist() == [1, 2]
    assert part.name(0) == f"{folder}, set.npz, image 2"
    assert replace(part, classes=("x", "y", "z")).classes == ("x", "y", "z")


def test_a_byte_that_differs_is_detected(folder):
    file = folder / "train-00000.pixels"
    data = bytearray(file.read_bytes())
    data[4 * 6 * 3 + 2] ^= 1
    file.write_bytes(data)
    source = open_dataset(path=str(folder)).examples("train")
    for number in (0, 2):
        source.check(number)
    with pytest.raises(
        UnreadableImage, match="image 1: the pixels differ from their checksum; remove .*out and prepare"
    ):
        source.check(1)


def test_every_byte_of_the_manifest_counts(folder):
    file = folder / MANIFEST
    text = file.read_text()
    assert read_manifest(folder).count("train") == 3
    for before, after in (
        ('"b"', '"B"'),
        ('"fixed": false', '"fixed": true'),
        ("{", "["),
        (text, ""),
        (text, "[1]"),
        (text, "[" * 100_000),
    ):
        file.write_text(text.replace(before, after, 1))
        with pytest.raises(ValueError, match="packed.json is corrupted .* prepare the set again"):
            read_manifest(folder)
    file.write_text(text)
    assert read_manifest(folder).classes == ("a", "b", "c") and json.loads(text)["format"] == 1


def test_a_pipe_in_place_of_rows_is_refused(folder):
    (folder / "train-00000.npz").unlink()
    os.mkfifo(folder / "train-00000.npz")
    with pytest.raises(ValueError, match="train-00000.npz is corrupted .it is no file.; remove"):
        open_dataset(path=str(folder)).examples("train")
