"""Names of our arrays in other libraries."""

from copy import deepcopy

import jax
import numpy as np
import pytest
import recipe
from safetensors.numpy import save_file

from resnet_jax import create_model, load_pretrained, save_torch_state
from resnet_jax.models import get_spec, shapes
from resnet_jax.weights.convert import to_state
from resnet_jax.weights.names import OWN_NAMES, Names


def test_a_library_without_this_net_is_skipped(tmp_path):
    """torchvision's EfficientNet has other padding than TensorFlow's."""
    name = "efficientnet_b0"
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(create_model(name), 64).variables)
    save_torch_state(variables, name, tmp_path / "x.safetensors", layout="torchvision")
    with pytest.raises(
        ValueError, match=r"x.safetensors is efficientnet_b0 \(torchvision\); pass model='efficientnet_b0'"
    ):
        load_pretrained(tmp_path / "x.safetensors", model="tf_efficientnet_b0")


@pytest.mark.parametrize("layout", ["timm", "torchvision"])
def test_a_net_that_is_not_registered_is_read_with_any_names(tmp_path, layout):
    net = recipe.small("efficientnet_b0", 1, num_classes=3)
    halves = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), shapes(net, 64).variables)
    state = to_state(halves, Names(layout, get_spec("efficientnet_b0").name_tables[layout]))
    state = {name: np.ascontiguousarray(x) for name, x in state.items()}
    save_file(state, tmp_path / "mine.safetensors")
    loaded = load_pretrained(tmp_path / "mine.safetensors", model=deepcopy(net))
    assert loaded.model == net
    assert all((leaf == 0.5).all() for leaf in jax.tree.leaves(loaded.variables))


def test_our_own_names_and_axes_are_read(tmp_path):
    """Also beside averaged weights, and with the net's name in a safetensors file's metadata."""
    variables = recipe.variables(create_model("resnet18", num_classes=3))
    state = {name: np.ascontiguousarray(x) for name, x in to_state(variables, OWN_NAMES).items()}
    assert state["params/stem/conv/kernel"].shape == (7, 7, 3, 64)
    np.savez(tmp_path / "resnet18.npz", **state)
    both = state | {f"ema.{name}": np.zeros_like(x) for name, x in state.items()}
    save_file(both, tmp_path / "x.safetensors", metadata={"architecture": "resnet18"})
    for loaded in (load_pretrained(tmp_path / "resnet18.npz"), load_pretrained(tmp_path / "x.safetensors", ema=False)):
        assert loaded.model.num_classes == 3
        jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    averaged = load_pretrained(tmp_path / "x.safetensors", ema=True).variables
    assert not any(leaf.any() for leaf in jax.tree.leaves(averaged))
