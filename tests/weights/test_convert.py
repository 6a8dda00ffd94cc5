"""State dicts of PyTorch as variables: every array must match."""

import numpy as np
import pytest
import recipe
from safetensors.numpy import save_file

from resnet_jax import load_pretrained, save_torch_state
from resnet_jax.types import flaws

STATE = recipe.float32_state("resnet18")


def test_one_error_lists_all_arrays_that_do_not_fit(tmp_path):
    state = dict(STATE)
    del state["layer1.0.bn1.weight"], state["conv1.weight"]
    state["layer9.conv.weight"] = np.zeros((1,), np.float32)
    state["layer4.1.conv2.weight"] = np.zeros((512, 512, 1, 1), np.float32)
    save_file(state, path := tmp_path / "resnet18.safetensors")
    with pytest.raises(ValueError) as caught:
        load_pretrained(path)
    message = str(caught.value)
    assert "2 missing: conv1.weight, layer1.0.bn1.weight" in message
    assert "1 unexpected: layer9.conv.weight" in message
    assert "1 of another shape: layer4.1.conv2.weight (as [1, 1, 512, 512] for [3, 3, 512, 512])" in message


def test_at_most_ten_names_are_listed(tmp_path):
    save_file({f"{name}_": x for name, x in STATE.items()}, path := tmp_path / "resnet18.safetensors")
    with pytest.raises(ValueError) as caught:
        load_pretrained(path)
    assert "100 missing: bn1.bias, " in str(caught.value) and " and 90 more; 1" in str(caught.value)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    ("entry", "message"), [("weight", "1 of another shape: fc.weight"), ("bias", "2 unexpected: fc")]
)
def test_a_file_that_does_not_fit_is_named(tmp_path, entry, message):
    """Also where the bias, whose length is the number of classes, is a scalar."""
    save_file(STATE | {f"fc.{entry}": np.ones((), np.float32)}, path := tmp_path / "resnet18-0.safetensors")
    with pytest.raises(ValueError, match=rf"^resnet18-0.safetensors: the weights do not fit the model: {message}"):
        load_pretrained(path)


def save_changed(path, name, value):
    save_file(STATE | {name: value}, path)
    return path


@pytest.mark.parametrize("dtype", ["int8", "bool", "complex64", "int64", "float8_e4m3fn"])
def test_weights_that_are_not_floating_point_are_refused_by_name(tmp_path, dtype):
    path = save_changed(tmp_path / "resnet18.safetensors", "conv1.weight", STATE["conv1.weight"].astype(dtype))
    message = rf"^resnet18.safetensors: expected floating-point weights, got conv1.weight \({dtype}\); quantised"
    with pytest.raises(ValueError, match=message):
        load_pretrained(path)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("conv1.weight", np.nan, "not finite"),
        ("bn1.running_var", 1e300, "not finite"),  # in float32
        ("layer1.0.bn1.running_var", -1.0, "variance below 0"),
    ],
)
def test_values_that_no_trained_net_has_are_refused_by_name(tmp_path, name, value, why):
    path = save_changed(tmp_path / "resnet18.safetensors", name, np.full(STATE[name].shape, value))
    with pytest.raises(ValueError, match=rf"expected finite weights, got {name} \({why}\); allow_nonfinite=True loads"):
        load_pretrained(path)
    variables = load_pretrained(path, allow_nonfinite=True).variables
    assert len(flaws(variables)) == 1
    save_torch_state(variables, "resnet18", tmp_path / "again.safetensors")


def test_a_kernel_of_more_than_one_pixel_is_not_cut_to_one(tmp_path):
    """Where the library has a 1x1 convolution. A square one of two axes is not taken as its own transpose."""
    state = recipe.float32_state("efficientnet_b0", "timm")
    for kernel in (np.ones((8, 32, 3, 3), np.float32), np.ones((8, 32), np.float32)):
        save_file(
            state | {"blocks.0.0.se.conv_reduce.weight": kernel}, path := tmp_path / "efficientnet_b0.safetensors"
        )
        with pytest.raises(ValueError, match="1 of another shape: blocks.0.0.se.conv_reduce.weight"):
            load_pretrained(path, model="efficientnet_b0")
