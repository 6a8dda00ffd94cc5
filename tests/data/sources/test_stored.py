"""Splits are read on demand, and images keep their names in parts."""

import re

import numpy as np
import pytest
from stored_sets import stored, which

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.errors import UnreadableImage


def test_an_image_keeps_its_name_in_a_part():
    part = stored(np.zeros(50, int)).examples("train[:10%]")
    assert [part.name(i) for i in range(5)] == [f"set.npz, image {n}" for n in which(part)]


def test_files_are_read_on_demand(tmp_path):
    paths = [tmp_path / f"{n}.png" for n in range(4)]
    paths[1].write_bytes(b"one")
    files = ImageFileSource(paths, np.arange(4), tuple("abcd")).take(np.array([1, 3]))
    assert files[0] == (b"one", 1) and files.name(0) == str(paths[1]) and len(files) == 2
    with pytest.raises(UnreadableImage, match=re.escape(f"{paths[3]}: No such file or directory")):
        files[1]


def test_a_split_is_read_once_at_its_first_use():
    reads = []

    def read():
        reads.append(1)
        return ArraySource(np.zeros((4, 1, 1, 1), np.uint8), np.arange(4) % 2, ("a", "b"), "x.npz")

    data = StoredDataset("set", {"train": LazySplit(4, read)}, unlabelled={"test": "x.npz: test has no labels"})
    assert data.splits == {"train": 4} and not reads
    assert len(data.examples("train")) == 4 and len(data.examples("train[:50%]")) == 2 and len(reads) == 1
    with pytest.raises(ValueError, match="x.npz: test has no labels"):
        data.examples("test[:1]")
