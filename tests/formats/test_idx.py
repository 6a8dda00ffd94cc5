"""IDX files."""

import gzip
import re

import numpy as np
import pytest
from idx_files import IMAGES, LABELS, idx, mnist, write_idx
from pictures import open_all, refused

from resnet_jax.formats import open_path, read_idx


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(tmp_path, zipped):
    data = open_path(write_idx(tmp_path, mnist(), zipped))
    assert data.splits == {"train": 12, "test": 5}
    train = data.examples("train")
    np.testing.assert_array_equal(train.images, IMAGES[..., None])
    np.testing.assert_array_equal(train.labels, LABELS)
    assert train.classes == data.examples("test").classes == ("0", "1", "2")
    assert train.name(3) == f"{tmp_path}/train-images-idx3-ubyte{'.gz' * zipped}, image 3"


def test_idx_of_other_spelling(tmp_path):
    files = {"train-images.idx3-ubyte": idx(IMAGES), "train-labels.idx1-ubyte": idx(LABELS)}
    assert open_path(write_idx(tmp_path, files)).splits == {"train": 12}


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_that_are_cut_off_are_named(tmp_path, zipped):
    whole = gzip.compress(idx(LABELS)) if zipped else idx(LABELS)
    file = tmp_path / ("train-labels-idx1-ubyte" + ".gz" * zipped)
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=f"^{re.escape(str(file))} (cannot be read|is no IDX file|is truncated)"):
            read_idx(file)
    file.write_bytes(whole)
    np.testing.assert_array_equal(read_idx(file), LABELS)


HUGE = (2**32 - 1,) * 3


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"train_images_idx3_ubyte": b"\x89PNG" + b"0" * 50}, "/train-images-idx3-ubyte is no IDX file of unsigned"),
        ({"train_images_idx3_ubyte": b"\0\0\x0d" + idx(IMAGES)[3:]}, "/train-images-idx3-ubyte is no IDX file of uns"),
        (
            {"train_images_idx3_ubyte": idx(IMAGES, HUGE)},
            "is truncated or corrupted: 240 values for shape .4294967295",
        ),
        ({"train_images_idx3_ubyte": idx(IMAGES, (0, 5, 4))}, "is truncated or corrupted: more than 0 values"),
        (
            {"train_images_idx3_ubyte": idx(IMAGES) + b"0"},
            "is truncated or corrupted: more than 240 values for shape .12, 5, 4.$",
        ),
        ({"train_images_idx3_ubyte": b"\0\0\x08\xff" + b"\0" * 90}, "is truncated or corrupted: "),
        (
            {"train_images_idx3_ubyte": idx(IMAGES[:0])},
            "/train-images-idx3-ubyte is truncated or corrupted: 0 values for shape",
        ),
        ({"train_images_idx3_ubyte": idx(LABELS)}, "/train-images-idx3-ubyte: expected images .*, got uint8 .12."),
        ({"train_labels_idx1_ubyte": idx(LABELS[:7])}, "/train-images-idx3-ubyte: 12 images, but labels are uint8 .7."),
        (
            {"t10k_labels_idx1_ubyte": idx([0, 1, 2, 3, 0])},
            "image 3 of 'test' has label 3; labels of 3 classes are 0 to 2",
        ),
    ],
)
def test_idx_files_that_do_not_fit_are_named(tmp_path, changed, message):
    write_idx(tmp_path, mnist(**changed))
    with pytest.raises(ValueError, match=message):
        open_all(tmp_path)


def test_an_idx_file_that_is_missing_is_named(tmp_path):
    write_idx(tmp_path, mnist())
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert "/t10k-images-idx3-ubyte has no file of labels beside it" in refused(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    (tmp_path / "train-images-idx3-ubyte").unlink()
    assert "/train-labels-idx1-ubyte has no file of images beside it" in refused(tmp_path)
    for file in tmp_path.iterdir():
        file.unlink()
    write_idx(tmp_path, {name: data for name, data in mnist().items() if name.startswith("t10k")})
    assert "has test, but nothing to train on" in refused(tmp_path)


def test_idx_files_of_a_named_set_counted_from_one(tmp_path):
    files = {f"emnist-letters-{name}": data for name, data in mnist().items() if name.startswith("train")}
    files["emnist-letters-train-labels-idx1-ubyte"] = idx(LABELS + 1)
    files |= {
        "emnist-letters-test-images-idx3-ubyte": idx(IMAGES),
        "emnist-letters-test-labels-idx1-ubyte": idx(LABELS + 1),
    }
    data = open_all(write_idx(tmp_path, files, zipped=True))
    assert data.splits == {"train": 12, "test": 12}
    assert data.examples("train").classes == data.examples("test").classes == ("1", "2", "3")
    np.testing.assert_array_equal(data.examples("test").labels, LABELS)
    write_idx(tmp_path, mnist())
    assert "has the IDX files of several sets: one without a name, emnist-letters; expected one" in refused(tmp_path)
