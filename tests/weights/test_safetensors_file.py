"""Written files of safetensors."""

import numpy as np

from resnet_jax.weights.safetensors_file import write_safetensors
from resnet_jax.weights.wrappers import read_state


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
