"""Metadata of files of weights."""

import json

import pytest

from resnet_jax import Preprocess
from resnet_jax.weights.metadata import read_metadata, to_metadata


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/home/me/secret/config.json", "config.json"),
        ("secret/config.json", "config.json"),
        ("torchvision/resnet18.IMAGENET1K_V1", "torchvision/resnet18.IMAGENET1K_V1"),
    ],
)
def test_folders_of_this_machine_stay_out_of_the_file(source, expected):
    preprocess = Preprocess(32, 36, (0.5,), (0.25,), source=source)
    metadata = to_metadata("resnet18", preprocess=preprocess)
    assert json.loads(metadata["preprocess"])["source"] == expected and "secret" not in str(metadata)
    assert read_metadata(metadata, "a.safetensors")[2].mean == (0.5,)
