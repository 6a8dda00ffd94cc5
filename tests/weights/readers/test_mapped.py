"""Arrays as views of a mapped file."""

import ml_dtypes
import numpy as np
import pytest

from resnet_jax.weights.readers.mapped import map_file, row_major, strided

VALUES = np.arange(24.0)


def test_a_file_is_mapped_read_only(tmp_path):
    VALUES.tofile(tmp_path / "x")
    data = map_file(tmp_path / "x")
    array = np.asarray(strided(data, VALUES.dtype, (2, 3, 4)))
    np.testing.assert_array_equal(array, VALUES.reshape(2, 3, 4))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    del data
    assert array.sum() == VALUES.sum()  # the view keeps the file mapped
    (tmp_path / "empty").touch()
    assert len(map_file(tmp_path / "empty")) == 0


def test_offsets_and_strides_are_in_values():
    data = memoryview(VALUES.tobytes())
    np.testing.assert_array_equal(strided(data, VALUES.dtype, (3, 2), (1, 4), 12), VALUES[12:20].reshape(2, 4)[:, :3].T)
    assert row_major((2, 3, 4)) == [12, 4, 1]
    assert np.asarray(strided(data, VALUES.dtype, (), (), 5)) == 5
    assert np.asarray(strided(data, VALUES.dtype, (0, 3))).shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, ml_dtypes.bfloat16, np.int8])
def test_big_endian_values_are_swapped(dtype):
    values = np.arange(6).astype(dtype)
    unit = values.dtype.itemsize // (2 if values.dtype.kind == "c" else 1)
    data = memoryview(values.view(f"u{unit}").byteswap().tobytes())
    np.testing.assert_array_equal(strided(data, values.dtype, (3, 2), (1, 3), big_endian=True), values.reshape(2, 3).T)


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "message"),
    [
        ((2, 2), (-4, 5), 0, "reaches beyond its storage of 24 values"),
        ((1,), (1,), -1, "reaches beyond its storage of 24 values"),
        ((3,), (1,), 22, "reaches beyond its storage of 24 values"),
        ((5, 5), (0, 0), 0, "reaches beyond its storage of 24 values"),
        ((-2, -2), None, 0, "reaches beyond its storage of 24 values"),
        ((2**62, 0), None, 0, "reaches beyond its storage of 24 values"),
        ((2**64, 2**64), None, 0, "reaches beyond its storage of 24 values"),
        ((1,) * 33, None, 0, "expected at most 32 dimensions, got 33"),
        ((2.0,), (1,), 0, "expected whole numbers in a tensor's shape"),
        ((2,), (1, 1), 0, "expected whole numbers in a tensor's shape"),
        ((True,), (1,), 0, "expected whole numbers in a tensor's shape"),
    ],
)
def test_no_memory_outside_the_data_is_read(shape, strides, offset, message):
    with pytest.raises(ValueError, match=message):
        strided(memoryview(VALUES.tobytes()), VALUES.dtype, shape, strides, offset)


def test_values_are_verified_before_they_are_read():
    calls = []
    stored = strided(memoryview(bytes(8)), np.dtype(np.float64), (1,), verify=lambda: calls.append(1))
    assert not calls
    np.asarray(stored)
    assert calls == [1]
