"""Weights of any source as files for other libraries: arrays, classes and preprocessing come back as they were."""

import json
import math
import shutil

import jax
import numpy as np
import pytest
import recipe

from resnet_jax import create_model, load_pretrained
from resnet_jax.models import shapes
from resnet_jax.models.layers import BatchNorm
from resnet_jax.models.partials import Partial
from resnet_jax.types import Preprocess, Pretrained
from resnet_jax.weights import convert_weights, save_torch_state
from resnet_jax.weights.metadata import options_of, to_metadata
from resnet_jax.weights.writers import crop_pct, hub_config, write_npz

CLASSES = ("ant", "bee", "wasp")
PREPROCESS = Preprocess(96, 101, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic", crop_mode="squash")
ABOUT = {"classes": CLASSES, "preprocess": PREPROCESS}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Fine-tuned weights: three classes, a preprocessing of their own."""
    variables = recipe.variables(create_model("resnet18", num_classes=3))
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_torch_state(variables, "resnet18", path, **ABOUT)
    return path


def check_equal(path, source, **options):
    loaded, expected = load_pretrained(path, **options), load_pretrained(source, **options)
    assert (loaded.name, loaded.classes, loaded.preprocess) == (expected.name, expected.classes, expected.preprocess)
    assert loaded.model == expected.model
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, expected.variables)


def test_classes_and_preprocessing_are_in_the_file(file):
    loaded = load_pretrained(file)
    assert (loaded.name, loaded.classes, loaded.preprocess) == ("resnet18", CLASSES, PREPROCESS)
    assert loaded.preprocess.source == "mine.safetensors"
    assert load_pretrained(file, num_classes=2).classes is None
    assert load_pretrained(file, in_channels=1).preprocess.mean == (pytest.approx(0.2),)


@pytest.mark.parametrize(
    ("to", "name"), [("timm", "x.safetensors"), ("torchvision", "x.safetensors"), ("npz", "x.npz"), ("timm", "folder")]
)
def test_round_trips_are_exact(file, tmp_path, to, name):
    written = convert_weights(file, tmp_path / name, to)
    check_equal(written, file)
    check_equal(convert_weights(written, tmp_path / "back.npz", "npz"), file)


def test_timms_folder_has_a_configuration(file, tmp_path):
    written = convert_weights(file, tmp_path / "new" / "folder")
    assert written == tmp_path / "new" / "folder" / "model.safetensors"
    config = json.loads(written.with_name("config.json").read_text())
    assert (config["architecture"], config["num_classes"], config["label_names"]) == ("resnet18", 3, list(CLASSES))
    values = config["pretrained_cfg"]
    assert values["input_size"] == [3, 96, 96] and (values["first_conv"], values["classifier"]) == ("conv1", "fc")
    assert math.floor(96 / values["crop_pct"]) == 101
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        convert_weights(file, written.parent)


def test_every_resize_is_a_fraction():
    assert all(
        math.floor(size / crop_pct(size, resize)) == resize for size in (32, 224, 288) for resize in range(1, 600)
    )


def test_npz_keeps_nets_that_no_library_has(tmp_path):
    net = create_model("cifar_highway20", stem="deep", norm=Partial(BatchNorm, epsilon=0.25), num_classes=3)
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), shapes(net, 32).variables)
    path = tmp_path / "x.npz"
    write_npz(variables, path, to_metadata("cifar_highway20", options=options_of(net, "cifar_highway20"), **ABOUT))
    loaded = load_pretrained(path)
    assert (loaded.model, loaded.name, loaded.classes, loaded.preprocess) == (net, "cifar_highway20", *ABOUT.values())
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    with pytest.raises(ValueError, match="no library has a net with the numbers of cifar_highway20"):
        convert_weights(path, tmp_path / "y.safetensors", "timm")


@pytest.mark.parametrize(
    ("to", "name", "message"),
    [
        ("keras", "x.h5", "expected timm, torchvision, openai, smp, transformers or npz, got 'keras'"),
        ("npz", "x.safetensors", "expected a file name that ends in .npz for npz, got x.safetensors"),
        ("torchvision", "folder", "expected a file name that ends in .safetensors for torchvision, got folder"),
        ("timm", "x.pth", "expected a file name that ends in .safetensors, or a folder, got x.pth"),
        ("openai", "x.safetensors", "layout: expected timm or torchvision for resnet18, got 'openai'"),
    ],
)
def test_what_cannot_be_written_is_refused(file, tmp_path, to, name, message):
    with pytest.raises(ValueError, match=message):
        convert_weights(file, tmp_path / name, to)
    assert not list(tmp_path.iterdir())


def test_the_file_that_is_read_stays(file, tmp_path):
    shutil.copy(file, source := tmp_path / "model.safetensors")
    (tmp_path / "link.safetensors").symlink_to(source)
    for one, out in ((source, source), (tmp_path, source), (source, tmp_path / "link.safetensors")):
        with pytest.raises(ValueError, match="expected another file than the one that is read"):
            convert_weights(one, out, model="resnet18")
    assert source.read_bytes() == file.read_bytes()


def test_nets_of_one_size_say_so():
    """timm makes the positions of CLIP's attention from this value."""
    net = create_model("resnet50_clip", num_classes=3)
    loaded = Pretrained(net, shapes(net, 224).variables, ABOUT["preprocess"], "resnet50_clip")
    assert hub_config(loaded)["pretrained_cfg"]["fixed_input_size"] is True


def test_a_net_with_other_numbers_is_refused(file, tmp_path):
    """Its arrays would fit."""
    net = create_model("resnet18", num_classes=3, norm=Partial(BatchNorm, epsilon=0.25))
    with pytest.raises(
        ValueError, match="this resnet18 differs from timm's in norm, which would give other numbers; expected npz"
    ):
        convert_weights(file, tmp_path / "x.safetensors", "timm", model=net)
    written = convert_weights(file, tmp_path / "x.npz", "npz", model=net)
    assert load_pretrained(written).model == net


SIZES = '"image_size": 8, "resize": 8'
BROKEN = "[]", f'{{"mean": [NaN], "std": [1], {SIZES}}}', '{"mean": [], "std": [], "image_size": 1e400}', "{}"
OPTIONS = '{"dtype": "float16"}', '{"norm": {"epsilon": -1}}', '{"norm": {"x": 1}}', "3"
INVALID = [
    *({"options": options} for options in OPTIONS),
    *({"preprocess": preprocess} for preprocess in BROKEN),
    *({"classes": classes} for classes in ("[3]", "[" * 100_000)),
    {"a": 3},
]


@pytest.mark.parametrize("values", [*map(json.dumps, INVALID), '["'])
def test_invalid_metadata_is_refused_in_one_line(tmp_path, values):
    np.savez(path := tmp_path / "x.npz", a=np.zeros(2), __metadata__=np.frombuffer(values.encode(), np.uint8))
    with pytest.raises(ValueError, match=r"^x.npz (has invalid metadata|is not a valid .npz file)") as caught:
        load_pretrained(path, model="resnet18")
    assert "\n" not in str(caught.value)
