import io
import json
import os
import re

import numpy as np
import pytest
from pictures import open_all
from PIL import Image

from resnet_jax.data.loading.decoding import read_image
from resnet_jax.data.sources.formats import open_path

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def png(value):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "png")
    return buffer.getvalue()


def values(part):
    """The grey of each image, and its label."""
    return [(read_image(part[i][0], part.name(i)).getpixel((0, 0)), part[i][1]) for i in range(len(part))]


def write(file, images, labels, *, names=None, image="image", label="label", struct=True, **more):
    """As Hugging Face's `datasets` writes a set: a struct of bytes and path, class names in the schema's metadata."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if struct:
        images = [None if one is None else {"bytes": one, "path": None} for one in images]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    else:
        kind = pa.binary()
    columns = {image: pa.array(images, kind), label: labels if isinstance(labels, pa.Array) else pa.array(labels)}
    table = pa.table(columns | more)
    if names is not None:
        feature = {"names": names, "_type": "ClassLabel"}
        info = {"info": {"features": {image: {"_type": "Image"}, label: feature}}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps(info).encode()})
    pq.write_table(table, file)
    return file


def refused(path):
    with pytest.raises(ValueError) as caught:
        open_all(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))
    return str(caught.value)


def test_the_layout_of_the_hub(tmp_path):
    """data/train-00000-of-00002-<hash>.parquet, ...: shards follow each other, class names are in the schema."""
    names = ["cat", "dog", "owl"]
    write(tmp_path / "data/train-00000-of-00002-abc123.parquet", map(png, [10, 11]), [0, 2], names=names)
    write(tmp_path / "data/train-00001-of-00002-def456.parquet", map(png, [12, 13, 14]), [1, 1, 0], names=names)
    write(tmp_path / "data/test-00000-of-00001-789.parquet", map(png, [20]), [1], names=names)
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
    file = write(tmp_path / "test.parquet", map(png, range(4)), [0, 1, 2, 1])
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
def test_the_files_names_tell_the_splits(tmp_path, files, splits):
    for file in files.split():
        write(tmp_path / file, map(png, range(2)), [0, 1])
    assert open_all(tmp_path).splits == {split: 2 * len(files.split()) // len(splits) for split in splits}


@pytest.mark.parametrize("kind", ["string", "large_string"])
def test_strings_are_classes_in_their_order_in_every_split(tmp_path, kind):
    """Also in a split that has not all of them."""
    write(tmp_path / "train.parquet", map(png, range(4)), pa.array(["owl", "cat", "dog", "cat"], getattr(pa, kind)()))
    write(tmp_path / "test.parquet", map(png, range(2)), pa.array(["owl", "dog"], getattr(pa, kind)()))
    data = open_path(tmp_path)
    assert data.examples("train").classes == data.examples("test").classes == ("cat", "dog", "owl")
    assert list(data.examples("train").labels) == [2, 0, 1, 0] and list(data.examples("test").labels) == [2, 1]


@pytest.mark.parametrize("names", [("img", "labels"), ("images", "fine_label"), ("image", "label")])
def test_plain_binary_columns_of_other_names(tmp_path, names):
    image, label = names
    file = write(tmp_path / "a.parquet", map(png, [5, 6]), [1, 0], image=image, label=label, struct=False, id=[7, 8])
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
    assert re.search(message, refused(write(tmp_path / "a.parquet", images, labels, struct=struct)))


def test_columns_that_cannot_be_used_give_one_line(tmp_path):
    file = write(tmp_path / "a.parquet", map(png, range(2)), [0, 1], image="photo")
    assert "has the columns photo, label; expected one of image, img, images" in refused(file)
    file = write(tmp_path / "a.parquet", map(png, range(2)), [0, 1], label="what")
    assert "has the columns image, what; expected one of label, labels" in refused(file)
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "label": [0, 1]}), file)
    assert "column 'image' is string; expected encoded images (binary)" in refused(file)


def test_shards_that_differ_give_one_line(tmp_path):
    write(tmp_path / "train-0.parquet", map(png, range(2)), [0, 1])
    write(tmp_path / "train-1.parquet", map(png, range(2)), ["a", "b"])
    with pytest.raises(ValueError, match="train-0.parquet to train-1.parquet .*differ"):
        open_all(tmp_path)
    write(tmp_path / "train-1.parquet", map(png, range(2)), [0, 1], image="photo")
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
        write(tmp_path / f"{name}.parquet", map(png, range(2)), labels, names=names)
    with pytest.raises(ValueError, match=f"test.parquet.*{message}"):
        open_all(tmp_path)


def test_a_file_that_names_no_split_beside_one_that_does_is_named(tmp_path):
    for name in ("latest.parquet", "train-0.parquet"):
        write(tmp_path / name, map(png, range(2)), [0, 1])
    with pytest.raises(
        ValueError, match="latest.parquet names no split, though train-0.parquet beside it does; expected"
    ):
        open_path(tmp_path)
    (tmp_path / "latest.parquet").rename(tmp_path / "TRAIN.parquet")
    assert open_all(tmp_path).splits == {"train": 4}


def test_missing_shards_are_named_and_may_be_skipped(tmp_path):
    for name in ("train-00000-of-00003", "test-00001-of-00002-abc"):
        write(tmp_path / f"{name}.parquet", map(png, range(2)), [0, 1])
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
    write(tmp_path / "train-00000-of-00003-other.parquet", map(png, range(2)), [0, 1])
    assert "train-00000-of-00003-other.parquet are the same shard; expected one of them" in refused(tmp_path)
    (tmp_path / "train-00000-of-00003-other.parquet").rename(tmp_path / "train-00000-of-00001.parquet")
    assert "has shards train-... of 1 and of 3" in refused(tmp_path)


@pytest.mark.parametrize("labels", [[-1, -1], pa.array([None, None], pa.int64()), None])
def test_a_split_without_labels_is_not_used_and_the_others_are(tmp_path, labels):
    write(tmp_path / "train.parquet", map(png, range(2)), [0, 1])
    write(tmp_path / "validation.parquet", map(png, range(2)), [1, 0])
    write(tmp_path / "test.parquet", map(png, range(2)), [0, 1] if labels is None else labels)
    if labels is None:
        pq.write_table(pa.table({"image": [png(0)]}), tmp_path / "test.parquet")
    data = open_all(tmp_path)
    assert data.splits == {"train": 2, "validation": 2}
    assert data.notes == (f"split 'test' is not used: {tmp_path}/test.parquet has no labels",)
    with pytest.raises(ValueError, match="test.parquet has no labels$"):
        data.examples("test")


def test_only_what_is_asked_for_is_read(tmp_path):
    write(tmp_path / "train.parquet", map(png, range(2)), [0, 1])
    write(tmp_path / "test.parquet", map(png, range(2)), [0, 7])
    data = open_path(tmp_path)
    assert data.splits == {"train": 2, "test": 2} and len(data.examples("train")) == 2
    with pytest.raises(ValueError, match="label 7"):
        data.examples("test")


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


def test_nothing_to_train_on_is_an_error(tmp_path):
    write(tmp_path / "test.parquet", map(png, range(2)), [0, 1])
    assert "has test, but nothing to train on" in refused(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="train.parquet cannot be read: not a file"):
        open_all(tmp_path)


def test_a_file_that_was_cut_off_is_named(tmp_path):
    """And of several, the one that is damaged."""
    write(tmp_path / "train-0.parquet", map(png, range(9)), [0, 1, 2] * 3)
    file = write(tmp_path / "train-1.parquet", map(png, range(9)), [0, 1, 2] * 3)
    whole = file.read_bytes()
    for cut in np.linspace(0, len(whole) - 1, 50).astype(int):
        file.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=f"^{re.escape(str(file))} cannot be read: ") as caught:
            open_all(tmp_path)
        assert "\n" not in str(caught.value)


def test_an_image_that_cannot_be_read_has_its_place_in_the_message(tmp_path):
    file = write(tmp_path / "a.parquet", [png(0), b"not an image", png(2)], [0, 1, 0])
    part = open_path(file).examples("train[1:]")
    message = [part.name(i) for i in range(len(part))]
    assert set(message) < {f"{file}, image {n}" for n in range(3)}
    assert all((part[i][0] == b"not an image") == (message[i] == f"{file}, image 1") for i in range(len(part)))
