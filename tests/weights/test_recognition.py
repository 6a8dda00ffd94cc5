"""Nets are recognised by the names and shapes of their arrays."""

import numpy as np
import pytest
import recipe
from safetensors.numpy import save_file

from resnet_jax import create_model, load_pretrained
from resnet_jax.errors import WrongModel

STATE = recipe.float32_state("resnet18")


def test_a_file_of_another_net_is_named(tmp_path):
    """With any number of classes."""
    save_file(STATE | {"fc.weight": np.zeros((3, 512)), "fc.bias": np.zeros(3)}, path := tmp_path / "mine.safetensors")
    description = "is a resnet18 with names of timm and torchvision: pass model='resnet18'"
    for model in ("resnet34", create_model("efficientnet_b0", num_classes=3)):
        with pytest.raises(WrongModel, match=f"^mine.safetensors {description}$"):
            load_pretrained(path, model=model)
    with pytest.raises(ValueError, match=f"cannot tell the model from the name 'mine.safetensors'; it {description}"):
        load_pretrained(path)
