"""Keras's files of weights."""

import sys

import numpy as np
import pytest

from resnet_jax.errors import MissingExtra, UnreadableWeights
from resnet_jax.weights.readers import read_weights
from resnet_jax.weights.readers.hdf5 import START

KERNEL = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


def test_arrays_have_their_paths_and_groups_their_texts(tmp_path, h5py):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        layer = file.create_group("model_weights/conv1_conv/conv1_conv")
        layer["kernel:0"] = KERNEL
        layer.create_dataset("bias:0", data=np.ones(300), compression="gzip", chunks=(100,))
        layer["big"] = np.arange(3, dtype=">f4")
        file.attrs["backend"] = "jax"
        file["model_weights/conv1_conv"].attrs["name"] = b"conv1_conv"
    weights = read_weights(tmp_path / "x.weights.h5")
    assert weights.format == "hdf5"
    assert weights.metadata == {"backend": "jax", "model_weights/conv1_conv/name": "conv1_conv"}
    root = "model_weights/conv1_conv/conv1_conv/"
    assert weights.tensors.keys() == {f"{root}kernel:0", f"{root}bias:0", f"{root}big"}
    np.testing.assert_array_equal(kernel := np.asarray(weights.tensors[f"{root}kernel:0"]), KERNEL)
    assert not kernel.flags.owndata
    np.testing.assert_array_equal(weights.tensors[f"{root}bias:0"], np.ones(300))
    np.testing.assert_array_equal(weights.tensors[f"{root}big"], [0, 1, 2])


def soft_link(h5py, file):
    file["x"] = h5py.SoftLink("/kernel")


def external_link(h5py, file):
    file["x"] = h5py.ExternalLink("other.h5", "/kernel")


def external_values(h5py, file):
    file.create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def virtual(h5py, file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("x", layout)


def huge(h5py, file):
    file.create_dataset("x", (10**6, 10**6), "f4", chunks=(100, 100))


def words(h5py, file):
    file["x"] = ["a", "b"]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (soft_link, "x is a link"),
        (external_link, "x is a link"),
        (external_values, "the values of x are in another file"),
        (virtual, "the values of x are in another file"),
        (huge, "x claims 4,000,000,000,000 bytes, and has 0 in the file"),
        (words, "expected numbers in x, got object"),
    ],
)
def test_what_is_not_in_the_file_is_refused(tmp_path, h5py, write, message):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["kernel"] = KERNEL
        write(h5py, file)
    with pytest.raises(UnreadableWeights, match=f"^x.h5 is not a valid HDF5 file of weights: {message}"):
        read_weights(tmp_path / "x.h5")


def test_a_truncated_file_is_named(tmp_path, h5py):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["kernel"] = KERNEL
    content = (tmp_path / "x.h5").read_bytes()
    for end in (8, 100, len(content) - 10):
        (tmp_path / "x.h5").write_bytes(content[:end])
        with pytest.raises(UnreadableWeights, match="^x.h5 is not a valid HDF5 file of weights: "):
            read_weights(tmp_path / "x.h5")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "x.h5").write_bytes(START)
    with pytest.raises(MissingExtra, match=r"h5py is not installed: pip install 'flax-resnets\[h5\]'"):
        read_weights(tmp_path / "x.h5")
