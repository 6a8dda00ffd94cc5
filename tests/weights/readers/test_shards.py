"""Weights in several files, and folders laid out as the hub's."""

import json

import numpy as np
import pytest
import recipe
from safetensors.numpy import save_file
from torch_file import write_torch_file

from resnet_jax import load_pretrained
from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers import read_weights, weights_file

A, B = {"a": np.arange(3, dtype=np.float32)}, {"b": np.ones((2, 2), np.float32), "c": np.zeros(1, np.float32)}


def write_index(path, parts):
    weight_map = {name: file for file, arrays in parts.items() for name in arrays}
    path.write_text(json.dumps({"metadata": {"total_size": 32}, "weight_map": weight_map}))
    return path


@pytest.mark.parametrize(
    ("write", "ending"), [(save_file, "safetensors"), (lambda x, p: write_torch_file(p, x), "bin")]
)
def test_the_arrays_of_all_files_are_read(tmp_path, write, ending):
    parts = {f"model-0000{number}-of-00002.{ending}": arrays for number, arrays in enumerate((A, B), 1)}
    for name, arrays in parts.items():
        write(arrays, tmp_path / name)
    stem = "model.safetensors" if ending == "safetensors" else "pytorch_model.bin"
    index = write_index(tmp_path / f"{stem}.index.json", parts)
    assert weights_file(tmp_path) == index
    file = read_weights(index)
    assert file.format == ("safetensors" if ending == "safetensors" else "torch")
    for name, array in (A | B).items():
        np.testing.assert_array_equal(file.tensors[name], array)


def test_a_folder_is_loaded_as_the_file_in_it(tmp_path):
    state = recipe.float32_state("resnet18")
    names = list(state)
    parts = {"1.safetensors": names[:50], "2.safetensors": names[50:]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, tmp_path / file)
    write_index(tmp_path / "model.safetensors.index.json", parts)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    loaded = load_pretrained(tmp_path)
    assert loaded.name == "resnet18"
    np.testing.assert_array_equal(loaded.variables["params"]["head"]["dense"]["bias"], state["fc.bias"])


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(UnreadableWeights, match="is a folder without model.safetensors, .* or open_clip_pytorch_model"):
        weights_file(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UnreadableWeights, match="is a run or a checkpoint: load_checkpoint reads it$"):
        weights_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a valid index of weights: "),
        ("{}", "is not a valid index of weights: 'weight_map'"),
        ('{"weight_map": ["a"]}', "is not a valid index of weights: "),
        ('{"weight_map": {"a": "../a.safetensors"}}', "expected names of files beside it, got '../a.safetensors'"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "expected names of files beside it, got '/etc/passwd'"),
        ('{"weight_map": {"a": "x.index.json"}}', "expected names of files beside it, got 'x.index.json'"),
        ('{"weight_map": {"a": 3}}', "expected names of files beside it, got '3'"),
        ('{"weight_map": {"a": "b.safetensors"}}', "x.index.json lists b.safetensors, which is missing"),
        ('{"weight_map": {"b": "a.safetensors"}}', "a.safetensors has other arrays than x.index.json lists: a, b$"),
    ],
)
def test_an_index_that_is_none_is_named(tmp_path, text, message):
    save_file(A, tmp_path / "a.safetensors")
    (path := tmp_path / "x.index.json").write_text(text)
    with pytest.raises(UnreadableWeights, match=message):
        read_weights(path)
