"""Files of PyTorch weights as nets with their variables."""

from functools import partial

import jax
import numpy as np
import pytest
import recipe
from safetensors.numpy import load_file, save_file

from resnet_jax import create_model, load_pretrained, save_torch_state
from resnet_jax.models import shapes
from resnet_jax.models.layers import BatchNorm

STATE = recipe.float32_state("resnet18")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(STATE, path)
    return path


def test_the_model_comes_from_the_file_name_or_the_caller(file):
    by_file = load_pretrained(file)
    assert by_file.name == "resnet18"
    assert by_file.model == create_model("resnet18")
    assert by_file.model == load_pretrained(str(file), model="resnet18").model
    assert by_file.model == load_pretrained(file, model=create_model("resnet18")).model


def test_values_types_and_preprocessing(file):
    loaded = load_pretrained(file)
    leaves = jax.tree.leaves(loaded.variables)
    assert all(isinstance(leaf, np.ndarray) and leaf.dtype == np.float32 for leaf in leaves)
    kernel = loaded.variables["params"]["stage2_block0"]["branch"]["conv1"]["kernel"]
    np.testing.assert_array_equal(kernel[1, 2], STATE["layer2.0.conv1.weight"][:, :, 1, 2].T)
    assert (loaded.preprocess.image_size, loaded.preprocess.resize) == (224, 256)
    assert loaded.preprocess.mean == (0.485, 0.456, 0.406)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    expected = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(loaded.preprocess(pixels), expected, rtol=0, atol=2e-6)


def test_float64_values_are_kept_without_x64(tmp_path):
    state = recipe.torch_state("resnet18")
    save_file(state, path := tmp_path / "resnet18.safetensors")
    kernel = load_pretrained(path, dtype="float64").variables["params"]["stem"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel, state["conv1.weight"].transpose(2, 3, 1, 0))
    assert kernel.dtype == np.float64


def test_a_module_keeps_its_classes_and_its_registered_name(file):
    loaded = load_pretrained(file, model=create_model("resnet18", num_classes=10, drop_path=0.1))
    assert loaded.model == create_model("resnet18", num_classes=10, drop_path=0.1)
    assert loaded.variables["params"]["head"]["dense"]["bias"].shape == (10,)
    assert loaded.name == "resnet18"


def test_bfloat16_changes_the_arithmetic_and_not_the_weights(file):
    loaded = load_pretrained(file, dtype="bfloat16")
    assert loaded.model == create_model("resnet18", dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded.variables)} == {np.dtype("float32")}


def test_another_number_of_classes_makes_a_new_head(file):
    loaded = load_pretrained(file, num_classes=5)
    assert loaded.model == create_model("resnet18", num_classes=5)
    assert loaded.variables["params"]["head"]["dense"]["kernel"].shape == (512, 5)
    logits = loaded.model.apply(loaded.variables, np.zeros((1, 32, 32, 3), np.float32), train=False).logits
    assert logits.shape == (1, 5)
    headless = load_pretrained(file, num_classes=0)
    assert "head" not in headless.variables["params"]
    body = {part: params for part, params in load_pretrained(file).variables["params"].items() if part != "head"}
    jax.tree.map(np.testing.assert_array_equal, headless.variables["params"], body)
    jax.tree.map(np.testing.assert_array_equal, {part: loaded.variables["params"][part] for part in body}, body)


def test_a_file_without_a_head_gives_a_net_without_one(tmp_path):
    save_file({k: v for k, v in STATE.items() if not k.startswith("fc.")}, path := tmp_path / "resnet18.safetensors")
    assert load_pretrained(path).model.num_classes == 0


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("missing.safetensors", None, FileNotFoundError, "no file"),
        ("resnet18.safetensors", b"\x10\0\0\0\0\0\0\0{not json", ValueError, "not a valid .safetensors file"),
        ("resnet18.h5", b"", ValueError, "resnet18.h5 is an empty file; expected a file of weights (.safetensors"),
        ("model.safetensors", None, ValueError, "the name 'model.safetensors', nor from its arrays"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, error, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif error is ValueError:
        save_file({"fc.weight": np.zeros((3, 2), np.float32)}, path)
    with pytest.raises(error) as caught:
        load_pretrained(path)
    assert message in str(caught.value)


@pytest.mark.slow
def test_torchvisions_efficientnets_have_their_own_constants_and_crops(tmp_path):
    """B5 to B7 have TensorFlow's weights; the file names of B0 and B1 have the author."""
    for name, file, crop, norm in (
        ("efficientnet_b5", "_lukemelas-1a07897c", (456, 456), partial(BatchNorm, epsilon=1e-3, decay=0.99)),
        ("efficientnet_b1", "_rwightman-bac287d4", (240, 256), BatchNorm),
    ):
        variables = jax.tree.map(
            lambda leaf: np.zeros(leaf.shape, np.float32), shapes(create_model(name), 64).variables
        )
        path = tmp_path / f"{name}{file}.safetensors"
        save_torch_state(variables, name, path, layout="torchvision")
        with pytest.warns(UserWarning, match=f"is not torchvision/{name}.IMAGENET1K_V1, as its name says"):
            loaded = load_pretrained(path)
        assert (loaded.name, loaded.preprocess.image_size, loaded.preprocess.resize) == (name, *crop)
        assert loaded.preprocess.interpolation == "bicubic"
        assert getattr(loaded.model.norm, "keywords", {}) == getattr(norm, "keywords", {})
        save_torch_state(variables, name, path := tmp_path / f"{name}.safetensors", layout="timm")
        again = load_pretrained(path)
        assert again.model.norm is BatchNorm
        assert again.preprocess.resize == again.preprocess.image_size + 32
        assert again.preprocess.interpolation == "bicubic"


def test_the_number_of_classes_is_checked_as_create_model_does(file):
    assert load_pretrained(file, num_classes=np.int64(7)).model == create_model("resnet18", num_classes=7)
    for wrong in (7.0, True, -1):
        with pytest.raises(ValueError, match=f"num_classes: expected a whole number, at least 0, got {wrong}"):
            load_pretrained(file, num_classes=wrong)


@pytest.mark.slow
def test_arrays_of_another_net_in_the_file_are_noted(tmp_path):
    """The text tower beside OpenAI's image tower."""
    variables = recipe.variables(create_model("resnet50_clip"))
    save_torch_state(variables, "resnet50_clip", path := tmp_path / "resnet50_clip.safetensors", layout="openai")
    save_file(load_file(path) | {"transformer.weight": np.ones(3, np.float32)}, path)
    note = "arrays without the prefix 'visual.' (1) are another net's and are not read"
    assert load_pretrained(path).notes == (note,)
