"""Columns of Parquet files."""

import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import png, values, write_parquet
from pictures import open_all, refused

from resnet_jax.formats import open_path


@pytest.mark.parametrize("kind", ["string", "large_string"])
def test_strings_are_classes_in_their_order_in_every_split(tmp_path, kind):
    """Also in a split that has not all of them."""
    write_parquet(
        tmp_path / "train.parquet", map(png, range(4)), pa.array(["owl", "cat", "dog", "cat"], getattr(pa, kind)())
    )
    write_parquet(tmp_path / "test.parquet", map(png, range(2)), pa.array(["owl", "dog"], getattr(pa, kind)()))
    data = open_path(tmp_path)
    assert data.examples("train").classes == data.examples("test").classes == ("cat", "dog", "owl")
    assert list(data.examples("train").labels) == [2, 0, 1, 0] and list(data.examples("test").labels) == [2, 1]


@pytest.mark.parametrize("names", [("img", "labels"), ("images", "fine_label"), ("image", "label")])
def test_plain_binary_columns_of_other_names(tmp_path, names):
    image, label = names
    file = write_parquet(
        tmp_path / "a.parquet", map(png, [5, 6]), [1, 0], image=image, label=label, struct=False, id=[7, 8]
    )
    assert values(open_path(file).examples("train")) == [(5, 1), (6, 0)]


@pytest.mark.parametrize(
    "images, labels, message",
    [
        ([png(0), None, png(2)], [0, 1, 0], "row 1 has nothing in column 'image'"),
        ([png(0), png(1), png(2)], [0, 1, None], "row 2 has nothing in column 'label'"),
        ([png(0), png(1)], [0, -1], "labels run from -1 to 0; expected 0 for the first class"),
        ([png(0), png(1)], [0, 10**6], "labels run from 0 to 1000000; expected"),
        ([png(0), png(1)], [0.0, 1.0], "column 'label' is double; expected whole numbers or strings"),
        ([png(0), png(1)], [[0], [1]], "column 'label' is list<.*>; expected whole numbers or strings"),
        ([], pa.array([], pa.int64()), "has no rows"),
    ],
)
@pytest.mark.parametrize("struct", [True, False])
def test_rows_that_cannot_be_used_give_one_line(tmp_path, images, labels, message, struct):
    assert re.search(message, refused(write_parquet(tmp_path / "a.parquet", images, labels, struct=struct)))


def test_columns_that_cannot_be_used_give_one_line(tmp_path):
    file = write_parquet(tmp_path / "a.parquet", map(png, range(2)), [0, 1], image="photo")
    assert "has the columns photo, label; expected one of image, img, images" in refused(file)
    file = write_parquet(tmp_path / "a.parquet", map(png, range(2)), [0, 1], label="what")
    assert "has the columns image, what; expected one of label, labels" in refused(file)
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "label": [0, 1]}), file)
    assert "column 'image' is string; expected encoded images (binary)" in refused(file)


def test_shards_that_differ_give_one_line(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", map(png, range(2)), [0, 1])
    write_parquet(tmp_path / "train-1.parquet", map(png, range(2)), ["a", "b"])
    with pytest.raises(ValueError, match="train-0.parquet to train-1.parquet .*differ"):
        open_all(tmp_path)
    write_parquet(tmp_path / "train-1.parquet", map(png, range(2)), [0, 1], image="photo")
    with pytest.raises(ValueError, match="train-1.parquet cannot be read: no columns 'image' among photo, label$"):
        open_all(tmp_path)


@pytest.mark.parametrize(
    "train, test, message",
    [
        (([0, 1], None), ([0, 2], None), "image 1 of 'test' has label 2; labels of 2 classes are 0 to 1"),
        (([0, 1], ["a", "b", "c"]), ([0, 3], ["a", "b", "c"]), "image 1 of 'test' has label 3; labels of 3 classes"),
        (([0, 1], ["a", "b"]), ([0, 1], ["b", "a"]), "has other classes than those trained on, or in another order"),
        ((["a", "b"], None), (["a", "owl"], None), "has classes that are not trained on: owl"),
    ],
)
def test_splits_that_do_not_fit_give_one_line(tmp_path, train, test, message):
    for name, (labels, names) in {"train": train, "test": test}.items():
        write_parquet(tmp_path / f"{name}.parquet", map(png, range(2)), labels, names=names)
    with pytest.raises(ValueError, match=f"test.parquet.*{message}"):
        open_all(tmp_path)


def test_columns_are_chosen_by_name(tmp_path):
    names = ["cat", "café"]  # decomposed
    table = {"photo": list(map(png, [5, 6])), "species": names, "label": [0, 0]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    train = open_all(tmp_path, image_column="photo", label_column="species").examples("train")
    assert values(train) == [(5, 1), (6, 0)] and train.classes == ("café", "cat")
    with pytest.raises(
        ValueError, match="has the columns photo, species, label; expected one of kind; name another: label_col"
    ):
        open_all(tmp_path, image_column="photo", label_column="kind")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="train.parquet cannot be read: not a file"):
        open_all(tmp_path)


def test_a_file_that_was_cut_off_is_named(tmp_path):
    """And of several, the one that is damaged."""
    write_parquet(tmp_path / "train-0.parquet", map(png, range(9)), [0, 1, 2] * 3)
    file = write_parquet(tmp_path / "train-1.parquet", map(png, range(9)), [0, 1, 2] * 3)
    whole = file.read_bytes()
    for cut in np.linspace(0, len(whole) - 1, 50).astype(int):
        file.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=f"^{re.escape(str(file))} cannot be read: ") as caught:
            open_all(tmp_path)
        assert "\n" not in str(caught.value)


def test_an_image_that_cannot_be_read_has_its_place_in_the_message(tmp_path):
    file = write_parquet(tmp_path / "a.parquet", [png(0), b"not an image", png(2)], [0, 1, 0])
    part = open_path(file).examples("train[1:]")
    message = [part.name(i) for i in range(len(part))]
    assert set(message) < {f"{file}, image {n}" for n in range(3)}
    assert all((part[i][0] == b"not an image") == (message[i] == f"{file}, image 1") for i in range(len(part)))
