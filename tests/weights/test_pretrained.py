import json
import pickle
from copy import deepcopy
from functools import partial

import jax
import numpy as np
import pytest
import recipe
from PIL import Image
from safetensors.numpy import save_file

from resnet_jax import Preprocess, Pretrained, create_model, load_pretrained, save_torch_state
from resnet_jax.errors import WrongModel
from resnet_jax.models import get_spec, shapes
from resnet_jax.models.layers import BatchNorm
from resnet_jax.types import flaws
from resnet_jax.weights.convert import to_state
from resnet_jax.weights.names import Names

STATE = {name: x.astype(np.float32 if x.ndim else x.dtype) for name, x in recipe.torch_state("resnet18").items()}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18-f37072fd.safetensors"
    save_file(STATE, path)
    return path


def test_the_model_is_told_by_the_name_of_the_file_or_by_the_caller(file):
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
    wanted = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(loaded.preprocess(pixels), wanted, rtol=0, atol=2e-6)


class Tensor:
    """As PyTorch's: no array, though it has a dtype and a shape."""

    __module__, dtype, shape, ndim = "torch", np.uint8, (1, 3, 4, 4), 4


@pytest.mark.parametrize(
    ("images", "error", "said"),
    [
        (np.zeros((2, 4, 4, 3)), ValueError, r"got float64 \[2, 4, 4, 3\]$"),
        (np.zeros((4, 4, 3), np.uint8), ValueError, r"got uint8 \[4, 4, 3\]; images\[None\] is a batch of one"),
        (np.zeros((2, 3, 4, 4), np.uint8), ValueError, r"got uint8 \[2, 3, 4, 4\]; images.transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 4, 4, 1), np.uint8), ValueError, r"got uint8 \[2, 4, 4, 1\]$"),
        (Image.new("RGB", (4, 4)), TypeError, r"got PIL.Image; numpy.asarray\(image\)\[None\] is a batch of one"),
        ([np.zeros((4, 4, 3), np.uint8)], TypeError, r"got list; numpy.stack\(images\)"),
        (Tensor(), TypeError, r"got torch.Tensor; tensor.permute\(0, 2, 3, 1\).numpy\(\)"),
        (None, TypeError, "got None"),
    ],
)
def test_images_that_are_not_bytes_of_the_right_shape_are_refused(images, error, said):
    with pytest.raises(error, match=rf"expected images uint8 \[N, H, W, 3\] with values 0 to 255, {said}"):
        Preprocess(4, 4, (0.5,) * 3, (0.5,) * 3)(images)
    if error is TypeError:
        with pytest.raises(error, match=rf"expected images float \[N, H, W, 3\], .*, {said}"):
            create_model("cifar_resnet8").apply({"params": {}}, images, train=False)


def test_what_is_loaded_unpacks_into_four_and_knows_its_classes_through_copies():
    model, pre = create_model("cifar_resnet8"), Preprocess(4, 4, (0.5,), (0.5,))
    loaded = Pretrained(model, {"params": {}}, pre, "cifar_resnet8", ["a", "b"])
    assert Pretrained(model, {}, pre, "cifar_resnet8").classes is None
    _, variables, preprocess, name = loaded
    assert isinstance(loaded, tuple) and (variables, preprocess, name) == ({"params": {}}, pre, "cifar_resnet8")
    replaced = loaded.__replace__(name="x")  # Python 3.13's copy.replace calls it
    assert replaced.name == "x"
    for copy in (replaced, loaded._replace(name="x"), pickle.loads(pickle.dumps(loaded)), deepcopy(loaded)):
        assert type(copy) is Pretrained and copy.classes == ("a", "b") and copy.model == model


def test_classes_are_those_of_the_configuration_beside_the_file(tmp_path):
    """Which also says which net it is."""
    save_file(STATE, path := tmp_path / "model.safetensors")
    names = [f"class {number}" for number in range(1000)]
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "label_names": names}))
    loaded = load_pretrained(path)
    assert loaded.name == "resnet18" and loaded.classes == tuple(names)
    assert load_pretrained(path, num_classes=5).classes is None
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet34", "label_names": names}))
    assert load_pretrained(path, model="resnet18").classes is None


def test_float64_values_are_kept_without_x64(tmp_path):
    state = recipe.torch_state("resnet18")
    save_file(state, path := tmp_path / "resnet18.safetensors")
    kernel = load_pretrained(path, dtype="float64").variables["params"]["stem"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel, state["conv1.weight"].transpose(2, 3, 1, 0))
    assert kernel.dtype == np.float64


def test_a_net_that_is_given_keeps_its_classes_and_is_known_by_its_name(file):
    loaded = load_pretrained(file, model=create_model("resnet18", num_classes=10, drop_path=0.1))
    assert loaded.model == create_model("resnet18", num_classes=10, drop_path=0.1)
    assert loaded.variables["params"]["head"]["dense"]["bias"].shape == (10,)
    assert loaded.name == "resnet18"


def test_bfloat16_is_of_the_arithmetic_and_not_of_the_weights(file):
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


def test_one_error_lists_all_that_does_not_fit(tmp_path):
    state = dict(STATE)
    del state["layer1.0.bn1.weight"], state["conv1.weight"]
    state["layer9.conv.weight"] = np.zeros((1,), np.float32)
    state["layer4.1.conv2.weight"] = np.zeros((512, 512, 1, 1), np.float32)
    save_file(state, path := tmp_path / "resnet18.safetensors")
    with pytest.raises(ValueError) as caught:
        load_pretrained(path)
    said = str(caught.value)
    assert "2 missing: conv1.weight, layer1.0.bn1.weight" in said
    assert "1 unexpected: layer9.conv.weight" in said
    assert "1 of another shape: layer4.1.conv2.weight (as [1, 1, 512, 512] for [3, 3, 512, 512])" in said


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("missing.safetensors", None, FileNotFoundError, "no file"),
        ("resnet18.safetensors", b"\x10\0\0\0\0\0\0\0{not json", ValueError, "not a valid .safetensors file"),
        ("resnet18.h5", b"", ValueError, "expected a file of weights (.safetensors"),
        ("model.safetensors", None, ValueError, "cannot tell the model from the name 'model.safetensors'"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, error, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif error is ValueError:
        save_file({"fc.weight": np.zeros((3, 2), np.float32)}, path)
    with pytest.raises(error) as caught:
        load_pretrained(path)
    assert said in str(caught.value)


def changed(path, name, value):
    save_file(STATE | {name: value}, path)
    return path


@pytest.mark.parametrize("dtype", ["int8", "bool", "complex64", "int64"])
def test_weights_that_are_not_floating_point_are_refused_by_name(tmp_path, dtype):
    path = changed(tmp_path / "resnet18.safetensors", "conv1.weight", STATE["conv1.weight"].astype(dtype))
    said = rf"^resnet18.safetensors: expected floating-point weights, got conv1.weight \({dtype}\); quantised"
    with pytest.raises(ValueError, match=said):
        load_pretrained(path)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("conv1.weight", np.nan, "not finite"),
        ("bn1.running_var", 1e300, "not finite"),  # in float32
        ("layer1.0.bn1.running_var", -1.0, "variance below 0"),
    ],
)
def test_weights_that_no_trained_net_has_are_refused_by_name(tmp_path, name, value, why):
    path = changed(tmp_path / "resnet18.safetensors", name, np.full(STATE[name].shape, value))
    with pytest.raises(ValueError, match=rf"expected finite weights, got {name} \({why}\); allow_nonfinite=True loads"):
        load_pretrained(path)
    variables = load_pretrained(path, allow_nonfinite=True).variables
    assert len(flaws(variables)) == 1
    save_torch_state(variables, "resnet18", tmp_path / "again.safetensors")


def test_a_file_of_another_net_is_named(tmp_path):
    """Whatever its number of classes."""
    save_file(STATE | {"fc.weight": np.zeros((3, 512)), "fc.bias": np.zeros(3)}, path := tmp_path / "mine.safetensors")
    said = "is a resnet18 with names of timm and torchvision: pass model='resnet18'"
    for model in ("resnet34", create_model("efficientnet_b0", num_classes=3)):
        with pytest.raises(WrongModel, match=f"^mine.safetensors {said}$"):
            load_pretrained(path, model=model)
    with pytest.raises(ValueError, match=f"cannot tell the model from the name 'mine.safetensors'; it {said}"):
        load_pretrained(path)


def test_what_does_not_fit_is_listed_up_to_ten_names_with_the_wrappers_prefix(tmp_path):
    save_file({f"module.{name}": x for name, x in STATE.items()}, path := tmp_path / "resnet18.safetensors")
    with pytest.raises(ValueError) as caught:
        load_pretrained(path)
    assert str(caught.value).endswith(
        "; all names begin with 'module.': save {name.removeprefix('module.'): x for name, x in state.items()}"
    )
    path = path.rename(tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match="cannot tell the model .*; all names in the file begin with 'module.'$"):
        load_pretrained(path)
    assert "100 missing: bn1.bias, " in str(caught.value) and " and 90 more; 102 unexpected: " in str(caught.value)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(("entry", "said"), [("weight", "1 of another shape: fc.weight"), ("bias", "2 unexpected: fc")])
def test_a_file_that_does_not_fit_is_named(tmp_path, entry, said):
    """Also where the entry that tells the number of classes, the bias, is a number itself."""
    save_file(STATE | {f"fc.{entry}": np.ones((), np.float32)}, path := tmp_path / "resnet18-0.safetensors")
    with pytest.raises(ValueError, match=rf"^resnet18-0.safetensors: the weights do not fit the model: {said}"):
        load_pretrained(path)


@pytest.mark.slow
def test_torchvisions_efficientnets_have_their_own_constants_and_crops(tmp_path):
    """B5 to B7 were TensorFlow's weights; B0's and B1's files name who trained them."""
    for name, file, crop, norm in (
        ("efficientnet_b5", "_lukemelas-1a07897c", (456, 456), partial(BatchNorm, epsilon=1e-3, decay=0.99)),
        ("efficientnet_b1", "_rwightman-bac287d4", (240, 256), BatchNorm),
    ):
        variables = jax.tree.map(
            lambda leaf: np.zeros(leaf.shape, np.float32), shapes(create_model(name), 64).variables
        )
        path = tmp_path / f"{name}{file}.safetensors"
        save_torch_state(variables, name, path, layout="torchvision")
        loaded = load_pretrained(path)
        assert (loaded.name, loaded.preprocess.image_size, loaded.preprocess.resize) == (name, *crop)
        assert loaded.preprocess.interpolation == "bicubic"
        assert getattr(loaded.model.norm, "keywords", {}) == getattr(norm, "keywords", {})
        save_torch_state(variables, name, path := tmp_path / f"{name}.safetensors", layout="timm")
        again = load_pretrained(path)
        assert again.model.norm is BatchNorm
        assert again.preprocess.resize == again.preprocess.image_size + 32
        assert again.preprocess.interpolation == "bicubic"


def test_a_library_without_this_very_net_is_passed_over(tmp_path):
    """torchvision's EfficientNet has other padding than TensorFlow's."""
    name = "efficientnet_b0"
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(create_model(name), 64).variables)
    save_torch_state(variables, name, tmp_path / "x.safetensors", layout="torchvision")
    with pytest.raises(ValueError, match="x.safetensors is an efficientnet_b0 with names of torchvision: pass model"):
        load_pretrained(tmp_path / "x.safetensors", model="tf_efficientnet_b0")


@pytest.mark.parametrize("layout", ["timm", "torchvision"])
def test_a_net_that_is_not_registered_is_read_by_any_layout_of_its_kind(tmp_path, layout):
    net = recipe.small("efficientnet_b0", 1, num_classes=3)
    halves = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), shapes(net, 64).variables)
    state = to_state(halves, Names(layout, get_spec("efficientnet_b0").name_tables[layout]))
    state = {name: np.ascontiguousarray(x) for name, x in state.items()}
    save_file(state, tmp_path / "mine.safetensors")
    loaded = load_pretrained(tmp_path / "mine.safetensors", model=deepcopy(net))
    assert loaded.model == net
    assert all((leaf == 0.5).all() for leaf in jax.tree.leaves(loaded.variables))


def test_the_number_of_classes_is_checked_as_create_model_does(file):
    assert load_pretrained(file, num_classes=np.int64(7)).model == create_model("resnet18", num_classes=7)
    for wrong in (7.0, True, -1):
        with pytest.raises(ValueError, match=f"num_classes: expected a whole number, at least 0, got {wrong}"):
            load_pretrained(file, num_classes=wrong)
