"""Nets are recognised by the names and shapes of their arrays."""

import json

import library_nets
import numpy as np
import pytest
import recipe
from safetensors.numpy import save_file

from resnet_jax import create_model, load_pretrained
from resnet_jax.errors import WrongModel
from resnet_jax.weights.recognition import recognise

GOLDEN = library_nets.golden()
STATE = recipe.float32_state("resnet18")


def test_a_file_of_another_net_is_named(tmp_path):
    """With any number of classes and input channels."""
    changed = {"fc.weight": np.zeros((3, 512)), "fc.bias": np.zeros(3), "conv1.weight": np.zeros((64, 1, 7, 7))}
    save_file(STATE | changed, path := tmp_path / "mine.safetensors")
    for model in ("resnet34", create_model("efficientnet_b0", num_classes=3)):
        with pytest.raises(WrongModel) as caught:
            load_pretrained(path, model=model)
        assert str(caught.value) == "mine.safetensors is resnet18 (timm, torchvision); pass model='resnet18'"
    loaded = load_pretrained(path)
    assert (loaded.name, loaded.model.num_classes, loaded.model.in_channels) == ("resnet18", 3, 1)
    assert len(loaded.preprocess.mean) == 1


def test_the_arrays_count_more_than_the_name_of_the_file(tmp_path):
    save_file(STATE, path := tmp_path / "resnet34.safetensors")
    assert load_pretrained(path).name == "resnet18"


def test_names_of_several_nets_are_candidates(tmp_path):
    save_file(recipe.float32_state("efficientnet_b0", "timm"), path := tmp_path / "model.safetensors")
    with pytest.raises(ValueError) as caught:
        load_pretrained(path)
    message = "its arrays fit efficientnet_b0 or tf_efficientnet_b0 (timm); pass model='efficientnet_b0' or model="
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert load_pretrained(path, model="efficientnet_b0").name == "efficientnet_b0"


def test_equal_nets_are_one_candidate():
    """cifar_resnet20 and cifar_resnet20_a are the same net."""
    state = {name: np.broadcast_to(np.float32(0), shape) for name, shape in GOLDEN.whole["cifar_resnet20"][0]}
    match = recognise(state)
    assert match.names == ("cifar_resnet20",) and "cifar_resnet20_a" in match.equal_names
    assert recognise(state | {"linear.extra": np.zeros(1)}) is None


def test_a_net_with_equal_arrays_that_is_not_registered_is_refused(tmp_path):
    """timm's resnetblur18 blurs where resnet18 does not."""
    save_file(STATE, named := tmp_path / "resnetblur18.safetensors")
    save_file(STATE, path := tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnetblur18"}))
    for file in (named, tmp_path):
        with pytest.raises(ValueError, match="resnetblur18, which is not registered; .* pass model='resnet18' if"):
            load_pretrained(file)
    with pytest.warns(UserWarning, match="is read as resnet18; it says resnetblur18"):
        assert load_pretrained(path, model="resnet18").name == "resnet18"


def test_a_registered_net_with_equal_arrays_is_no_substitute(tmp_path):
    state = recipe.float32_state("tf_efficientnet_b0", "timm")
    save_file(state, path := tmp_path / "x.safetensors", metadata={"architecture": "tf_efficientnet_b0"})
    assert load_pretrained(path, model="tf_efficientnet_b0").name == "tf_efficientnet_b0"
    with pytest.warns(UserWarning, match="is read as efficientnet_b0; it says tf_efficientnet_b0"):
        load_pretrained(path, model="efficientnet_b0")
