"""Parquet files of one set: their splits, and shards that are missing."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import png, values, write_parquet
from pictures import open_all, refused

from resnet_jax.formats import open_path


def test_the_layout_of_the_hub(tmp_path):
    """data/train-00000-of-00002-<hash>.parquet, ...: shards follow each other, class names are in the schema."""
    names = ["cat", "dog", "owl"]
    write_parquet(tmp_path / "data/train-00000-of-00002-abc123.parquet", map(png, [10, 11]), [0, 2], names=names)
    write_parquet(tmp_path / "data/train-00001-of-00002-def456.parquet", map(png, [12, 13, 14]), [1, 1, 0], names=names)
    write_parquet(tmp_path / "data/test-00000-of-00001-789.parquet", map(png, [20]), [1], names=names)
    (tmp_path / "README.md").write_text("a card")
    data = open_path(tmp_path)
    assert data.splits == {"train": 5, "test": 1}
    train, test = data.examples("train"), data.examples("test")
    assert train.classes == test.classes == ("cat", "dog", "owl")
    assert values(train) == [(10, 0), (11, 2), (12, 1), (13, 1), (14, 0)] and values(test) == [(20, 1)]
    assert train.labels.dtype == np.int32
    first, last = "train-00000-of-00002-abc123.parquet", "train-00001-of-00002-def456.parquet"
    assert train.name(3) == f"{tmp_path}/data/{first} to {last}, image 3"


def test_one_file_is_all_training(tmp_path):
    file = write_parquet(tmp_path / "test.parquet", map(png, range(4)), [0, 1, 2, 1])
    data = open_path(file)
    assert data.splits == {"train": 4} and data.examples("train").classes == ("0", "1", "2")
    assert data.examples("train").name(2) == f"{file}, image 2"


@pytest.mark.parametrize(
    "files, splits",
    [
        ("train.parquet test.parquet", ["train", "test"]),
        ("train.parquet validation.parquet", ["train", "validation"]),
        ("pets-train.parquet pets_test.parquet", ["train", "test"]),
        ("a.parquet b.parquet", ["train"]),
        ("Train.parquet Test.parquet", ["train", "test"]),
        ("pets-training.parquet testing_set.parquet dev.parquet", ["train", "test", "validation"]),
        ("latest.parquet other-00000-of-00001.parquet", ["train"]),
        ("train-00000-of-00001.parquet extra-00000-of-00001.parquet", ["train", "extra"]),
        ("default/train/0000.parquet default/test/0000.parquet", ["train", "test"]),
        ("partial-train/0000.parquet val/0000.parquet", ["train", "val"]),
    ],
)
def test_names_of_files_have_the_splits(tmp_path, files, splits):
    for file in files.split():
        write_parquet(tmp_path / file, map(png, range(2)), [0, 1])
    assert open_all(tmp_path).splits == {split: 2 * len(files.split()) // len(splits) for split in splits}


def test_a_file_that_names_no_split_beside_one_that_does_is_named(tmp_path):
    for name in ("latest.parquet", "train-0.parquet"):
        write_parquet(tmp_path / name, map(png, range(2)), [0, 1])
    with pytest.raises(
        ValueError, match="latest.parquet names no split, though train-0.parquet beside it does; expected"
    ):
        open_path(tmp_path)
    (tmp_path / "latest.parquet").rename(tmp_path / "TRAIN.parquet")
    assert open_all(tmp_path).splits == {"train": 4}


def test_missing_shards_are_named_and_may_be_skipped(tmp_path):
    for name in ("train-00000-of-00003", "test-00001-of-00002-abc"):
        write_parquet(tmp_path / f"{name}.parquet", map(png, range(2)), [0, 1])
    message = "train-00001-of-00003.parquet and 1 more are missing; download again, or go without: skip_unreadable=True"
    data = open_path(tmp_path)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: {message}")):
        data.examples("train")
    data = open_all(tmp_path, skip_unreadable=True)
    assert data.splits == {"train": 2, "test": 2}
    assert data.notes == (
        "split 'test' is incomplete: test-00000-of-00002.parquet is missing",
        "split 'train' is incomplete: train-00001-of-00003.parquet and 1 more are missing",
    )
    write_parquet(tmp_path / "train-00000-of-00003-other.parquet", map(png, range(2)), [0, 1])
    assert "train-00000-of-00003-other.parquet are the same shard; expected one of them" in refused(tmp_path)
    (tmp_path / "train-00000-of-00003-other.parquet").rename(tmp_path / "train-00000-of-00001.parquet")
    assert "has shards train-... of 1 and of 3" in refused(tmp_path)


@pytest.mark.parametrize("labels", [[-1, -1], pa.array([None, None], pa.int64()), None])
def test_a_split_without_labels_is_not_used_and_the_others_are(tmp_path, labels):
    write_parquet(tmp_path / "train.parquet", map(png, range(2)), [0, 1])
    write_parquet(tmp_path / "validation.parquet", map(png, range(2)), [1, 0])
    write_parquet(tmp_path / "test.parquet", map(png, range(2)), [0, 1] if labels is None else labels)
    if labels is None:
        pq.write_table(pa.table({"image": [png(0)]}), tmp_path / "test.parquet")
    data = open_all(tmp_path)
    assert data.splits == {"train": 2, "validation": 2}
    assert data.notes == (f"split 'test' is not used: {tmp_path}/test.parquet has no labels",)
    with pytest.raises(ValueError, match="test.parquet has no labels$"):
        data.examples("test")


def test_only_what_is_asked_for_is_read(tmp_path):
    write_parquet(tmp_path / "train.parquet", map(png, range(2)), [0, 1])
    write_parquet(tmp_path / "test.parquet", map(png, range(2)), [0, 7])
    data = open_path(tmp_path)
    assert data.splits == {"train": 2, "test": 2} and len(data.examples("train")) == 2
    with pytest.raises(ValueError, match="label 7"):
        data.examples("test")


def test_nothing_to_train_on_is_an_error(tmp_path):
    write_parquet(tmp_path / "test.parquet", map(png, range(2)), [0, 1])
    assert "has test, but nothing to train on" in refused(tmp_path)
