"""Our files in other libraries, and their nets against ours: `pytest -m parity`, with the libraries installed."""

import os
from functools import partial

import jax
import jax.numpy as jnp
import library_nets
import numpy as np
import pytest
import recipe
from PIL import Image

from resnet_jax import create_model, load_pretrained
from resnet_jax.models import get_spec
from resnet_jax.types import Preprocess
from resnet_jax.weights import convert_weights, save_torch_state
from resnet_jax.weights.fit import fit, with_channels
from resnet_jax.weights.names import Names
from resnet_jax.weights.transformers_config import read_processor

pytestmark = pytest.mark.parity
PREPROCESS = Preprocess(96, 101, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic")


def logits(net, variables, images):
    return jax.jit(partial(net.apply, train=False))(variables, jnp.asarray(images.transpose(0, 2, 3, 1))).logits


@pytest.mark.parametrize("name", ["resnet18", "resnet50d", "resnetv2_50x1_bit", "efficientnet_b0", "skresnet18"])
def test_timm_reads_the_folder(x64, tmp_path, name):
    """By `local-dir:` and by `load_checkpoint`: equal logits, classes and preprocessing."""
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    net = create_model(name, num_classes=3, dtype="float64", param_dtype="float64")
    variables, source = recipe.variables(net, np.float64), tmp_path / "x.safetensors"
    save_torch_state(variables, name, source, classes=("ant", "bee", "wasp"), preprocess=PREPROCESS)
    written = convert_weights(source, tmp_path / "folder", model=name, dtype="float64")
    theirs = timm.create_model(f"local-dir:{written.parent}", pretrained=True).double().eval()
    checkpoint = timm.create_model(name, num_classes=3, checkpoint_path=str(written)).double().eval()
    config = timm.data.resolve_model_data_config(theirs)
    values = [tuple(config[key]) for key in ("input_size", "mean", "std")]
    assert values == [(3, 96, 96), PREPROCESS.mean, PREPROCESS.std]
    assert config["interpolation"] == "bicubic" and timm.data.create_transform(**config).transforms[0].size == 101
    assert theirs.pretrained_cfg["label_names"] == ["ant", "bee", "wasp"]
    images = np.random.default_rng(0).standard_normal((2, 3, 64, 64))
    state = {key: torch.from_numpy(np.asarray(x)) for key, x in _arrays(written).items()}
    theirs.load_state_dict(state, strict=True)  # in float64: timm reads into float32
    ours = logits(net, variables, images)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images)).numpy()
        in_float32 = checkpoint(torch.from_numpy(images)).numpy()
    assert np.linalg.norm(ours - expected) < 1e-9 * np.linalg.norm(expected)
    assert np.linalg.norm(ours - in_float32) < 1e-5 * np.linalg.norm(expected)


def _arrays(path):
    from safetensors.numpy import load_file

    return load_file(path)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 7])
def test_input_channels_are_adapted_as_timm_does(channels):
    torch = pytest.importorskip("torch")
    adapt = pytest.importorskip("timm.models").adapt_input_conv
    kernel = recipe.array("conv1.weight", (64, 3, 7, 7)).astype(np.float32)
    expected = adapt(channels, torch.from_numpy(kernel)).numpy()
    net = create_model("resnet18")
    variables = {"params": {"stem": {"conv": {"kernel": kernel.transpose(2, 3, 1, 0)}}}}
    _, variables, _ = with_channels(net, variables, channels)
    ours = variables["params"]["stem"]["conv"]["kernel"].transpose(3, 2, 0, 1)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", library_nets.OURS)
def test_the_libraries_small_nets(x64, name):
    """As the golden numbers, with the libraries as they are installed; Keras on JAX: KERAS_BACKEND=jax."""
    layout, registered = name.partition("-")[0], library_nets.OURS[name]
    package = {"lukemelas": "efficientnet_pytorch", "bit": "timm"}.get(layout, layout)
    pytest.importorskip(package if package in ("transformers", "keras", "timm", "efficientnet_pytorch") else "torch")
    if layout == "keras" and os.environ.get("KERAS_BACKEND") != "jax":
        pytest.skip("set KERAS_BACKEND=jax")
    keys, forward, *_ = library_nets.SMALL[name]()
    state, images = library_nets.state(keys), library_nets.images(name)
    net = recipe.small(registered, 1, dtype="float64", param_dtype="float64")
    table = get_spec(registered).name_tables[layout]
    fitted = fit(state, net, Names(layout, table, [1] * len(net.stages)))
    expected = forward(state, images)
    ours = logits(fitted.model, fitted.variables, images[:, ::-1] if table.is_bgr else images)
    assert np.linalg.norm(ours - expected) < 1e-9 * np.linalg.norm(expected)


def test_a_file_that_keras_writes(tmp_path):
    """Both layouts of ResNet50, with Keras's preprocessing of pixels."""
    if os.environ.get("KERAS_BACKEND") != "jax":
        pytest.skip("set KERAS_BACKEND=jax")
    keras = pytest.importorskip("keras")
    theirs = keras.applications.ResNet50(weights=None, classifier_activation=None)
    names = [(v.path.replace("moving_", "running_").replace("variance", "var"), v.shape) for v in theirs.weights]
    theirs.set_weights([recipe.array(name, shape) for name, shape in names])
    theirs.save_weights(tmp_path / "resnet50.weights.h5")
    theirs.save(tmp_path / "resnet50_whole.h5")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    with jax.numpy_rank_promotion("allow"):
        inputs = keras.applications.resnet.preprocess_input(pixels.astype(np.float32))
        expected = np.asarray(theirs(inputs, training=False))
    for file in ("resnet50.weights.h5", "resnet50_whole.h5"):
        loaded = load_pretrained(tmp_path / file)
        assert loaded.name == "resnet50_v1"
        ours = loaded.model.apply(loaded.variables, loaded.preprocess(pixels), train=False).logits
        assert np.linalg.norm(ours - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
        ("Bit", {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}),
        ("EfficientNet", {"size": {"height": 224, "width": 224}, "image_std": [0.47854, 0.47329, 0.47434]}),
    ],
)
def test_image_processors_of_transformers(tmp_path, name, options):
    """As they are saved: equal inputs, to one level of 255."""
    transformers = pytest.importorskip("transformers")
    processor = getattr(transformers, f"{name}ImageProcessor")(**options)
    processor.save_pretrained(tmp_path)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)).resize((500, 350))
    preprocess = read_processor(tmp_path / "model.safetensors")
    expected = processor(picture, return_tensors="pt")["pixel_values"].numpy().transpose(0, 2, 3, 1)
    difference = (np.asarray(preprocess.batch([picture])) - expected) * preprocess.std * 255
    assert np.abs(difference).max() < 1.001 and np.abs(difference).mean() < 0.01
