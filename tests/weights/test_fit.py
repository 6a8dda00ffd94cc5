"""Another number of classes and of input channels than a file's."""

import math
from functools import partial

import jax
import numpy as np
import pytest
import recipe
from safetensors.numpy import save_file

from resnet_jax import create_model, load_pretrained
from resnet_jax.models import get_spec, shapes
from resnet_jax.models.layers import BatchNorm
from resnet_jax.weights.fit import constants_for, with_channels
from resnet_jax.weights.names import Names

STATE = recipe.float32_state("resnet18")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "resnet18.safetensors"
    save_file(STATE, path)
    return path


def by_timms_rule(kernel, channels):
    """[Co, 3, H, W] -> [Co, channels, H, W]."""
    if channels == 1:
        return kernel.sum(1, keepdims=True)
    return np.tile(kernel, (1, math.ceil(channels / 3), 1, 1))[:, :channels] * np.float32(3 / channels)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_input_channels_follow_timms_rule(file, channels):
    loaded = load_pretrained(file, in_channels=channels)
    assert loaded.model == create_model("resnet18", in_channels=channels)
    kernel = loaded.variables["params"]["stem"]["conv"]["kernel"]
    expected = by_timms_rule(STATE["conv1.weight"], channels).transpose(2, 3, 1, 0)
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel, expected, rtol=1e-6, atol=1e-7)
    (note,) = loaded.notes
    assert note.startswith(f"the net takes {channels} channels, the file's 3: the kernels of its channels are ")
    assert len(loaded.preprocess.mean) == (1 if channels == 1 else 0)
    again = load_pretrained(file, model=create_model("resnet18", in_channels=channels))
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, again.variables)


def test_a_norm_of_the_callers_choice_is_not_replaced_by_the_librarys():
    names = Names("keras", get_spec("resnet50_v1").name_tables["keras"])
    of_keras = names.table.overrides["norm"]
    assert constants_for(create_model("resnet50_v1"), names) == ({"norm": of_keras}, ())
    assert constants_for(create_model("resnet50_v1", norm=of_keras), names) == ({"norm": of_keras}, ())
    constants, notes = constants_for(create_model("resnet50_v1", norm=partial(BatchNorm, epsilon=0.0)), names)
    assert not constants
    expected = "the net has its own norm; the nets of this library (keras) have epsilon=1.001e-05, decay=0.99"
    assert notes == (expected,)


@pytest.mark.parametrize("name", ["resnet18", "resnet50d", "resnet50_clip", "resnetv2_50", "efficientnet_b0"])
def test_stems_of_every_kind_are_adapted(name):
    net = create_model(name)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(net, net.image_size).variables)
    grey, variables, notes = with_channels(net, zeros, 1)
    expected = shapes(grey, net.image_size).variables
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, expected)
    assert len(notes) == 1 and with_channels(net, zeros, 3) == (net, zeros, ())


def test_a_new_head_is_noted(file):
    (note,) = load_pretrained(file, num_classes=5).notes
    assert note == "the head for 5 classes is new: the one in the file is for 1000 classes"
    assert load_pretrained(file, num_classes=0).notes == load_pretrained(file).notes == ()


def test_a_number_of_channels_that_no_net_has_is_refused(file):
    with pytest.raises(ValueError, match="in_channels: expected a whole number, at least 1, got 0"):
        load_pretrained(file, in_channels=0)
