"""NumPy archives."""

import io
import os
import re
import zipfile

import numpy as np
import pytest
from pictures import open_all, refused

from resnet_jax.formats import open_path

RNG = np.random.default_rng(0)


X, Y = RNG.integers(0, 256, (10, 6, 5, 3), np.uint8), np.arange(10) % 4


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "arrays, splits",
    [
        ({"x_train": X, "y_train": Y}, {"train": 10}),
        ({"x_train": X, "y_train": Y, "x_test": X[:4], "y_test": Y[:4]}, {"train": 10, "test": 4}),
        (
            {f"{split}_{kind}": a for split in ("train", "val", "test") for kind, a in (("images", X), ("labels", Y))},
            {"train": 10, "val": 10, "test": 10},
        ),
        ({"images": X, "labels": Y}, {"train": 10}),
        ({"image": X, "label": Y}, {"train": 10}),
        ({"x": X, "y": Y, "more": Y}, {"train": 10}),
        ({"x": X, "y": Y[:, None]}, {"train": 10}),
        ({"x": X, "y": Y.astype(np.uint8)}, {"train": 10}),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_in_every_layout(tmp_path, arrays, splits, save):
    save(tmp_path / "set.npz", **arrays)
    data = open_path(tmp_path / "set.npz")
    assert data.splits == splits
    train = data.examples("train")
    assert train.classes == ("0", "1", "2", "3")
    np.testing.assert_array_equal(train.images, X)
    np.testing.assert_array_equal(train.labels, Y)


def test_npz_of_grey_images_and_with_names(tmp_path):
    file = npz(tmp_path / "set.npz", x=X[..., 0], y=Y, classes=np.array(list("abcdef")))
    train = open_path(file).examples("train")
    assert train.images.shape == (10, 6, 5, 1) and train.classes == tuple("abcdef")
    assert train.name(7) == f"{file}, train, image 7"


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x": X.astype(np.float32) / 255, "y": Y}, "got float32 .10, 6, 5, 3."),
        ({"x": X.astype(int), "y": Y}, "got int64 .10, 6, 5, 3."),
        ({"x": np.concatenate([X, X[..., :1]], -1), "y": Y}, "got uint8 .10, 6, 5, 4."),
        ({"x": X[..., 0, 0], "y": Y}, "got uint8 .10, 6."),
        ({"x": X, "y": Y.astype(np.float32)}, "10 images, but labels are float32 .10."),
        ({"x": X, "y": Y.astype(str)}, "10 images, but labels are <U21 .10."),
        ({"x": X, "y": Y[:9]}, "10 images, but labels are int64 .9."),
        ({"x": X, "y": np.eye(4, dtype=int)[Y]}, "10 images, but labels are int64 .10, 4."),
        ({"x": X, "y": Y - 1}, "labels run from -1 to 2; expected 0 for the first class"),
        ({"x": X, "y": Y + 70000}, "labels run from 70000 to 70003; expected"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, "image 2 of 'train' has label 2; labels of 2 classes are"),
        ({"x": X, "y": Y, "classes": np.array("a")}, "image 1 of 'train' has label 1; labels of 1 classes are 0 to 0"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1}, "image 3 of 'test' has label 4; labels of 4"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b", "c", "a"])}, "'classes' has the name 'a', empty or twice"),
        ({"x": X[:0], "y": Y[:0]}, "there are no images"),
        ({"x": X[:, :0], "y": Y}, "there are no images"),
        ({"x_train": X}, "has the arrays x_train; expected x_train and y_train; or"),
        ({"x_test": X, "y_test": Y}, "has the arrays x_test, y_test; expected x_train"),
        ({}, "has the arrays .none.; expected"),
    ],
)
def test_npz_that_do_not_fit_give_one_line(tmp_path, arrays, message):
    file = npz(tmp_path / "set.npz", **arrays)
    assert re.search(message, refused(file))


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("name", ["x", "y", "classes"])
def test_pickled_objects_are_refused_and_not_run(tmp_path, name):
    evil = np.array([Evil(str(tmp_path / "ran"))], object)
    file = npz(tmp_path / "set.npz", **({"x": X, "y": Y} | {name: evil}))
    assert "Object arrays cannot be loaded" in refused(file)
    assert not (tmp_path / "ran").exists()
    np.load(file, allow_pickle=True)[name]
    assert (tmp_path / "ran").exists()  # so it would have


def test_npz_that_are_damaged_give_one_line(tmp_path):
    file = npz(tmp_path / "set.npz", x=X[:2, :2], y=Y[:2])
    whole = file.read_bytes()
    for cut in [*range(0, len(whole), 7), *range(len(whole) - 30, len(whole))]:
        file.write_bytes(whole[:cut])
        refused(file)
    for place in range(0, len(whole), 3):  # the checksum is the archive's
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        file.write_bytes(damaged)
        try:
            open_path(file)
        except ValueError as error:
            assert str(error).startswith(str(file)) and "\n" not in str(error)


def test_other_files_called_npz_give_one_line(tmp_path):
    file = tmp_path / "set.npz"
    buffer = io.BytesIO()
    np.save(buffer, X)
    for data in (buffer.getvalue(), b"hello", b"\x80\x04K\x01.", b""):
        file.write_bytes(data)
        assert "is no .npz file, or is truncated" in refused(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", b"hello")
        archive.writestr("y", b"hello")
    assert "has the arrays (none); expected x_train" in refused(file)
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 10**9)}
    with zipfile.ZipFile(file, "w") as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    assert "has the arrays x; expected" in refused(file)
    with zipfile.ZipFile(file, "a") as archive, archive.open("y.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    refused(file)


def test_npz_splits_under_other_names_and_without_labels(tmp_path):
    arrays = {"X_train": X, "Y_train": Y, "x_valid": X[:4], "y_valid": Y[:4], "x_test": X[:5], "y_test": np.full(5, -1)}
    data = open_all(npz(tmp_path / "a.npz", **arrays))
    assert data.splits == {"train": 10, "valid": 4}
    assert data.notes == (f"split 'test' is not used: {tmp_path}/a.npz: y_test has no labels, it is -1 everywhere",)
    arrays = {"training_images": X, "training_labels": Y, "dev_images": X[:4], "dev_labels": Y[:4]}
    assert open_all(npz(tmp_path / "a.npz", **arrays)).splits == {"train": 10, "validation": 4}
