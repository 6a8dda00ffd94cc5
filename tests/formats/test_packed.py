import numpy as np
import pytest

from resnet_jax.data.packing import PackOptions, pack
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import DataError
from resnet_jax.formats import is_image_folder, open_path
from resnet_jax.formats.packed import is_packed


@pytest.fixture
def folder(tmp_path):
    images = np.arange(4 * 27, dtype=np.uint8).reshape(4, 3, 3, 3)
    source = ArraySource(images, np.arange(4) % 2, ("a", "b"), "set.npz")
    parts, unlabelled = {"train": source, "val": source}, {"test": "set.npz has no labels"}
    return pack(StoredDataset("set", parts, ("a note",), unlabelled), tmp_path / "out", PackOptions(8)).folder


def test_splits_notes_and_splits_without_labels_stay(folder, tmp_path):
    dataset = open_path(folder)
    assert is_packed(folder) and not is_packed(tmp_path) and not is_image_folder(folder)
    assert dataset.splits == {"train": 4, "val": 4} and "a note" in dataset.notes
    with pytest.raises(ValueError, match="set.npz has no labels"):
        dataset.examples("test")
    assert len(dataset.examples("train[:50%]+val")) == 6


def test_options_of_other_formats_are_refused(folder):
    with pytest.raises(ValueError, match="is a packed set, which has its labels; expected labels=None, got 'a.csv'"):
        open_path(folder, labels="a.csv")
    with pytest.raises(ValueError, match="label_column='x' is for Parquet files"):
        open_path(folder, label_column="x")


@pytest.mark.parametrize("name", ["train-00000.pixels", "train-00000.npz"])
@pytest.mark.parametrize("damage", ["cut", "missing", "flipped"])
def test_files_that_are_not_whole_are_refused_once_their_split_is_used(folder, name, damage):
    data = (folder / name).read_bytes()
    if damage == "missing":
        (folder / name).unlink()
    else:
        flipped = bytes([data[0] ^ 1]) + data[1:]
        (folder / name).write_bytes(data[:-1] if damage == "cut" else flipped)
    dataset = open_path(folder)
    assert len(dataset.examples("val")) == 4
    if damage == "flipped" and name.endswith(".pixels"):  # `data --verify` detects it
        with pytest.raises(ValueError, match="checksum"):
            dataset.examples("train").check(0)
        return
    with pytest.raises(ValueError, match=f"{name} is corrupted.*prepare the set again"):
        dataset.examples("train")


def test_a_shard_that_is_cut_while_it_is_mapped_is_named(folder):
    examples = open_path(folder).examples("train")
    file = folder / "train-00000.pixels"
    with file.open("r+b") as opened:
        opened.truncate(50)  # reading behind it would end the process with SIGBUS
    with pytest.raises(DataError, match=r"train-00000.pixels was cut: expected 108 bytes, got 50; remove .*prepare"):
        examples[0]
    file.unlink()
    assert examples[0][0].shape == (3, 3, 3)  # what is mapped stays
