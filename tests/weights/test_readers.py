import os
import pickle
import zipfile

import numpy as np
import pytest
import recipe

from resnet_jax.weights import readers
from resnet_jax.weights.readers import read_state

FILES = recipe.GOLDEN / "torch"
WHOLE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_what_pytorch_wrote_comes_back_without_it():
    state = read_state(FILES / "tiny.pth")
    np.testing.assert_array_equal(state["whole"], WHOLE)
    np.testing.assert_array_equal(state["view"], WHOLE[1].T)
    np.testing.assert_array_equal(state["parameter"], [1, 1])
    np.testing.assert_array_equal(state["brain"].astype(np.float32), [1.5, -2])
    assert state["double"] == [0.1] and state["double"].dtype == np.float64
    assert state["half"].dtype == np.float16 and state["empty"].shape == (0, 3)
    assert state["scalar"] == 7 and state["scalar"].shape == ()


def test_a_state_dict_inside_a_training_checkpoint_is_found():
    np.testing.assert_array_equal(read_state(FILES / "wrapped.pth")["a"], [1, 1])


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


def archive(path, content):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", content)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps({"a": Attack()}), "system, which is no part of a state dict"),
        (pickle.dumps({"a": 3}), "holds more than a state dict of tensors"),
        (pickle.dumps([1]), "holds more than a state dict of tensors"),
        (b"\x80\x04", "not a sound PyTorch state dict"),
    ],
)
def test_a_file_that_is_no_state_dict_is_refused_and_none_of_its_code_is_run(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        read_state(archive(tmp_path / "x.pth", content))
    assert said in str(caught.value)
    assert not (tmp_path / "attacked").exists()


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes((FILES / "tiny.pth").read_bytes()[:-100])
    with pytest.raises(ValueError, match="x.pth is not a whole zip archive"):
        read_state(path)


@pytest.mark.parametrize(("offset", "size", "stride"), [(0, (2, 2), (-4, 5)), (-1, (1,), (1,)), (8, (3,), (1,))])
def test_no_memory_outside_a_storage_is_read(offset, size, stride):
    with pytest.raises(ValueError, match="beyond its storage of 10 values"):
        readers._array(np.arange(10.0), offset, size, stride)


def test_a_tensor_cannot_reach_beyond_its_storage(tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(FILES / "tiny.pth") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[: 8 if name.endswith("/data/0") else None])
    with pytest.raises(ValueError, match="a tensor reaches beyond its storage of 2 values"):
        read_state(path)
