"""Files of safetensors."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from resnet_jax.weights.readers import read_state
from resnet_jax.weights.safetensors_file import write_safetensors


def test_written_arrays_are_read_again(tmp_path):
    path = tmp_path / "x.safetensors"
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.zeros((), np.int64)}
    for _ in range(2):  # the second time the file is replaced
        write_safetensors(state, path)
    again = read_state(path)
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]
    for name, array in state.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype


def test_a_file_without_averaged_weights_raises_for_ema(tmp_path):
    save_file({"a": np.zeros(2, np.float32)}, path := tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"^x.safetensors has no averaged weights; expected ema=None or ema=False$"):
        read_state(path, ema=True)
    assert read_state(path, ema=False)


def test_float8_arrays_are_refused_by_name(tmp_path):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(ValueError, match=r"^x.safetensors: expected floating-point weights, got a \(F8_E4M3\); "):
        read_state(path)
