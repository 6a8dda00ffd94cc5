"""Archives of NumPy arrays."""

import io
import zipfile

import ml_dtypes
import numpy as np
import pytest

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers import read_weights

ARRAYS = {
    "resnet/root/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "half": np.ones(3, np.float16),
    "big": np.arange(3, dtype=">f4"),
    "scalar": np.array(3),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_equal_those_that_were_saved(tmp_path, save):
    save(tmp_path / "x.npz", **ARRAYS)
    file = read_weights(tmp_path / "x.npz")
    assert (file.format, list(file.tensors)) == ("npz", list(ARRAYS))
    for name, array in ARRAYS.items():
        stored = file.tensors[name]
        assert (stored.shape, stored.dtype) == (array.shape, array.dtype.newbyteorder("="))
        np.testing.assert_array_equal(stored, array)
    assert np.asarray(file.tensors["fortran"]).base is not None


def archive(path, content, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("x.npy", content)
    return path


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header(shape, kind="<f4"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(np.array([{}], object), allow_pickle=True), "expected numbers in x.npy, got object"),
        (npy(np.array(["a"])), "expected numbers in x.npy, got <U1"),
        (npy(np.ones(2, ml_dtypes.bfloat16)), "expected numbers in x.npy, got .V2"),
        (header((10**9, 10**9)), "x.npy has 0 bytes for float32 .1000000000, 1000000000."),
        (header((-2, -2)) + bytes(16), "a tensor reaches beyond its storage"),
        (npy(np.ones(9))[:-1], "x.npy has 71 bytes for float64 .9,."),
        (b"\x93NUMPY\x03\0\x01\0\0\0 ", "unknown version .3, 0."),
        (b"no header", "magic"),
    ],
)
def test_corrupted_and_malicious_arrays_are_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(UnreadableWeights, match=f"^x.npz is not a valid .npz file of weights: .*{message}") as caught:
        read_weights(archive(tmp_path / "x.npz", content))
    assert "\n" not in str(caught.value)


def test_a_zip_bomb_is_refused(tmp_path):
    path = archive(tmp_path / "x.npz", npy(np.zeros(2**23)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UnreadableWeights, match=r"its 6\d,\d{3} bytes claim to hold 67,108,992$"):
        read_weights(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_byte_is_detected_when_the_array_is_read(tmp_path, compression):
    values = np.random.default_rng(0).random(100)
    path = archive(tmp_path / "x.npz", npy(values), compression=compression)
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableWeights, match="^x.npz is corrupted: x.npy differs from its checksum$"):
        np.asarray(read_weights(path).tensors["x"])
