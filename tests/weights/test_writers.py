"""Files for PyTorch: arrays that are read, written and read again are the same."""

import jax
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from resnet_jax import create_model, load_pretrained, save_torch_state
from resnet_jax.models import shapes

# One net of each kind of names.
NETS = [
    ("torchvision", "resnet18"), ("torchvision", "efficientnet_b0"), ("timm", "resnet18d"), ("timm", "skresnet18"),
    ("timm", "resnetrs50"), ("timm", "ecaresnet50d"), ("timm", "res2net50_26w_4s"), ("timm", "resnetv2_50x1_bit"),
    ("timm", "resnet50_clip"), ("timm", "tf_efficientnet_cc_b0_4e"), ("timm", "resnetblur50"),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "name"), NETS)
def test_load_save_load_is_bit_identical(tmp_path, layout, name):
    state = {
        key: value.astype(np.float32) if value.ndim or not key.endswith("tracked") else value
        for key, value in recipe.torch_state(name, layout).items()
    }
    first, second = tmp_path / f"{name}.safetensors", tmp_path / "again" / f"{name}.safetensors"
    second.parent.mkdir()
    save_file(state, first)
    loaded = load_pretrained(first)
    save_torch_state(loaded.variables, name, second, layout=layout)
    written = load_file(second)
    assert set(written) == set(state)
    for key, value in state.items():
        assert written[key].dtype == value.dtype and written[key].shape == value.shape, key
        np.testing.assert_array_equal(written[key], value, err_msg=key)
    again = load_pretrained(second).variables
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, again)
    with safe_open(second, "np") as file:
        assert file.metadata() == {"format": "pt", "architecture": name}  # transformers asks for the format


def test_the_text_tower_of_openais_clip_is_ignored(tmp_path):
    """A file with arrays of the text tower, too, loads the image tower."""
    model = create_model("resnet50_clip")
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(model, 224).variables)
    path = tmp_path / "resnet50_clip.safetensors"
    save_torch_state(variables, "resnet50_clip", path, layout="openai")
    state = load_file(path)
    assert {
        "visual.conv1.weight",
        "visual.attnpool.positional_embedding",
        "visual.layer1.0.downsample.0.weight",
    } <= set(state)
    assert state["visual.attnpool.c_proj.weight"].shape == (1024, 2048)
    save_file(state | {"token_embedding.weight": np.zeros((5, 4), np.float32)}, path)
    loaded = load_pretrained(path)
    assert set(flatten_dict(loaded.variables)) == set(flatten_dict(variables))
    np.testing.assert_allclose(loaded.preprocess.mean, (0.48145466, 0.4578275, 0.40821073))


def test_a_head_of_any_size_is_written(tmp_path):
    path = tmp_path / "resnet18.safetensors"
    for classes in (7, 0):
        model = create_model("resnet18", num_classes=classes)
        variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(model, 224).variables)
        save_torch_state(variables, "resnet18", path)
        assert load_file(path).get("fc.bias", np.zeros(0)).shape == (classes,)
        assert load_pretrained(path).model.num_classes == classes


@pytest.mark.parametrize(
    ("name", "layout", "message"),
    [
        ("resnet19", "timm", "no model named 'resnet19'; did you mean resnet18"),
        ("resnet18", "keras", "layout: expected timm or torchvision for resnet18, got 'keras'"),
        ("resnet50_clip", "torchvision", "layout: expected timm or openai for resnet50_clip, got 'torchvision'"),
        ("resnet18d", "timm", "missing: conv1.0.weight"),
        ("resnet50_v1", "torchvision", "no library has a net with the numbers of resnet50_v1"),
        ("resnetblur50", "torchvision", "layout: expected timm for resnetblur50, got 'torchvision'"),
        ("tf_efficientnet_b0", "torchvision", "layout: expected timm for tf_efficientnet_b0, got"),
        ("cifar_resnet20", "timm", "layout='timm': no library has a net with the numbers of cifar_resnet20"),
        ("cifar_skipnet38", "keras", "layout='keras': no library has a net with the numbers of cifar_skipnet38"),
    ],
)
def test_an_unknown_layout_or_net_raises_and_writes_nothing(tmp_path, name, layout, message):
    model = create_model("resnet18", num_classes=3)
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(model, 224).variables)
    with pytest.raises(ValueError, match=message):
        save_torch_state(variables, name, tmp_path / "x.safetensors", layout=layout)
    with pytest.raises(ValueError, match=r"expected a file name that ends in .safetensors, got x.pth"):
        save_torch_state(variables, "resnet18", tmp_path / "x.pth")
    assert list(tmp_path.iterdir()) == []
