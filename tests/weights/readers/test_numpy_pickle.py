"""Pickles of NumPy arrays, as detectron2 publishes its nets."""

import pickle
import shutil

import ml_dtypes
import numpy as np
import pytest

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers import read_weights, torch_pickle

ARRAYS = {
    "stem.conv1.weight": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big": np.arange(3, dtype=">f8"),
    "brain": np.array([1.5, -2], ml_dtypes.bfloat16),
    "scalar": np.array(3, np.int64),
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_equal_those_that_were_pickled(tmp_path, protocol):
    content = {"model": ARRAYS, "__author__": "somebody", "matching_heuristics": True, "loss": np.float64(0.5)}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol))
    file = read_weights(tmp_path / "x.pkl")
    assert (file.format, file.metadata["__author__"]) == ("pickle", "somebody")
    assert list(file.tensors) == [f"model.{name}" for name in ARRAYS]
    for name, array in ARRAYS.items():
        stored = file.tensors[f"model.{name}"]
        assert (stored.shape, stored.dtype) == (array.shape, array.dtype.newbyteorder("="))
        np.testing.assert_array_equal(stored, array)


def test_arrays_of_python_2_are_read(tmp_path):
    """Their bytes are strings."""
    values = np.array([1, 2], np.float32).tobytes()
    dtype = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    array += b"(K\x01(K\x02t" + dtype + b"\x89U\x08" + values + b"tb"
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02}U\x01a" + array + b"s.")
    assert np.asarray(read_weights(tmp_path / "x.pkl").tensors["a"]).tolist() == [1, 2]


class Attack:
    def __reduce__(self):
        return shutil.which, ("sh",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": Attack()}, "it imports shutil.which, which is not part of a state dict"),
        ({"a": np.array([{}], object)}, "array 'a' has objects as values"),
        ({"a": np.array(["a"])}, "array 'a' has objects as values, or an unknown type"),
        ({"a": np.zeros(2, [("x", "f4")])}, "array 'a' has objects as values, or an unknown type"),
        ({"a": {"b": np.ones(1)}, "a.b": np.ones(1)}, "it has two entries named 'a.b'"),
        ({"a": 3}, "it has other contents than a state dict of tensors"),
        ([np.ones(1)], "it has other contents than a state dict of tensors"),
    ],
)
def test_other_contents_are_refused(tmp_path, value, message):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, 4))
    with pytest.raises(UnreadableWeights, match=f"^x.pkl is not a valid pickle of arrays: {message}"):
        read_weights(tmp_path / "x.pkl")


def test_shapes_and_sizes_must_agree(tmp_path):
    content = pickle.dumps({"a": np.ones(200, np.float32)}, 4)
    for old, new in ((b"K\xc8\x85", b"K\xc9\x85"), (b"K\xc8\x85", b"J\xff\xff\xff\xff\x85")):
        (tmp_path / "x.pkl").write_bytes(b"\x80\x04" + content[11:].replace(old, new))
        with pytest.raises(UnreadableWeights, match="array 'a' has 800 bytes for its shape"):
            read_weights(tmp_path / "x.pkl")


def test_many_names_of_one_dict_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_pickle, "MOST_ENTRIES", 10_000)  # in a hundredth of the time
    value = {"x": np.ones(1)}
    for _ in range(18):
        value = {str(number): value for number in range(4)}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, 4))
    with pytest.raises(UnreadableWeights, match="it has more than 10,000 entries"):
        read_weights(tmp_path / "x.pkl")
