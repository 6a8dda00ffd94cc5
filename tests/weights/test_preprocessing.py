"""How images are prepared, by the file of the weights. As a script it prints torchvision's table."""

import json
from pathlib import Path

import numpy as np
import pytest

from resnet_jax import create_model
from resnet_jax.models import MODELS
from resnet_jax.models.spec import IMAGENET
from resnet_jax.models.zoo.torchvision import WEIGHTS
from resnet_jax.weights.hub_config import config_for, read_hub_config
from resnet_jax.weights.preprocessing import preprocess_for


def of(name, file, layout="timm", config=None, **overrides):
    return preprocess_for(create_model(name, **overrides), MODELS[name], name, layout, Path(file), config or {})


@pytest.mark.parametrize(
    ("file", "size", "resize", "interpolation"),
    [
        ("resnet50-0676ba61.pth", 224, 256, "bilinear"),
        ("resnet50-11ad3fa6.pth", 224, 232, "bilinear"),
        ("resnext101_64x4d-173b62eb.pth", 224, 232, "bilinear"),
        ("efficientnet_b1_rwightman-bac287d4.pth", 240, 256, "bicubic"),
        ("efficientnet_b1-c27df63c (1).safetensors", 240, 255, "bilinear"),
    ],
)
def test_torchvisions_weights_are_known_by_the_checksum_in_the_name(file, size, resize, interpolation):
    name = file.partition("-")[0].removesuffix("_rwightman")
    found = of(name, file)
    assert (found.image_size, found.resize, found.interpolation) == (size, resize, interpolation)
    assert (found.mean, found.std) == IMAGENET
    assert found.source.startswith("torchvision, ")


def test_what_is_assumed_says_so_and_is_equal_all_the_same():
    """Also under the checksum of another net. torchvision's only weights of resnext101_64x4d have 232."""
    for name, file, resize in (
        ("resnet50", "mine.pth", 256),
        ("resnet50", "resnet50-f37072fd.pth", 256),
        ("resnext101_64x4d", "mine.pth", 232),
    ):
        found = of(name, file)
        assert found.resize == resize and found.source.startswith("assumed: unknown file; these are")
    assert of("resnet50", "mine.pth") == of("resnet50", "resnet50-0676ba61.pth")


def test_timms_configuration_beside_the_file_is_read(tmp_path):
    """At the size for testing; what is absent has timm's defaults; that of another net is not taken."""
    file, cfg = tmp_path / "model.safetensors", {"input_size": [3, 160, 160], "test_input_size": [3, 224, 224]}
    cfg |= {"crop_pct": 0.95, "test_crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear"}
    for config, wanted in (
        ({"architecture": "resnet50", "pretrained_cfg": cfg}, (224, 224, (0.5,) * 3, "bilinear")),
        ({"pretrained_cfg": {"crop_pct": 0.95}}, (224, 235, IMAGENET[0], "bicubic")),
        ({"architecture": "resnet34", "pretrained_cfg": cfg}, (224, 256, IMAGENET[0], "bilinear")),
        ({"architecture": "vit_base_patch16_224", "pretrained_cfg": cfg}, (224, 256, IMAGENET[0], "bilinear")),
        ({"architecture": ["resnet50"], "pretrained_cfg": cfg}, (224, 256, IMAGENET[0], "bilinear")),
        ({"architecture": "resnet50", "pretrained_cfg": None}, (224, 256, IMAGENET[0], "bicubic")),
        ({"model": {"name": "resnet50"}, "mean": [0.5] * 3}, (224, 256, IMAGENET[0], "bilinear")),  # of a run of ours
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        found = of("resnet50", file, config=config_for("resnet50", read_hub_config(file)))
        assert (found.image_size, found.resize, found.mean, found.interpolation) == wanted
        assert found.source.startswith("assumed") == (wanted[1:] == (256, IMAGENET[0], "bilinear"))
    assert config_for("resnet18", config := {"architecture": "resnet18_b"}) is config  # the same net
    (tmp_path / "config.json").write_text("{")
    with pytest.warns(UserWarning, match="config.json is not valid JSON and is ignored"):
        assert read_hub_config(file) == {}


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"interpolation": "random"}, "interpolation to be bilinear or bicubic, got 'random'"),
        ({"input_size": [3, 224, 192]}, r"input_size to be a square \[C, S, S\], got \[3, 224, 192\]"),
        ({"input_size": "224"}, r"input_size to be a square \[C, S, S\], got 224"),
        ({"crop_pct": "0.9"}, "crop_pct to be a number above 0, got '0.9'"),
        ({"mean": [0.5] * 2}, r"mean to be 3 numbers from 0 to 1, one per channel, got \[0.5, 0.5\]"),
        ({"mean": [123.7, 116.3, 103.5]}, r"mean to be 3 numbers from 0 to 1, one per channel, got \[123.7"),
        ({"std": [float("nan")] * 3}, r"std to be 3 numbers from 0 to 1, one per channel, got \[nan"),
        ({"std": [0.0, 0.5, 0.5]}, "std to be above 0, one value per mean"),
        ("a string", "pretrained_cfg to be an object, got 'a string'"),
    ],
)
def test_values_of_timms_configuration_that_are_not_valid_are_refused(wrong, expected):
    with pytest.raises(ValueError, match=f"config.json: expected {expected}"):
        of("resnet50", "x.safetensors", config={"pretrained_cfg": wrong})


def test_grey_nets_get_the_mean_over_the_channels_and_others_none():
    grey = of("resnet18", "x.pth", in_channels=1)
    assert grey.mean == pytest.approx([0.449]) and grey.std == pytest.approx([0.226])
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(grey(pixels), (pixels / 255 - 0.449) / 0.226, atol=1e-6)
    four = {"input_size": [4, 64, 64], "mean": [0.1, 0.2, 0.3, 0.4], "std": [0.5] * 4}
    assert of("resnet18", "x.pth", config=four, in_channels=1).mean == pytest.approx([0.25])
    with pytest.raises(ValueError, match=r"no mean and deviation are known .*; build a Preprocess"):
        of("resnet18", "x.pth", in_channels=4)(np.zeros((1, 4, 4, 4), np.uint8))


def torchvision_table():
    models = pytest.importorskip("torchvision.models")
    rows = {}
    for name in (name for name, spec in MODELS.items() if "torchvision" in spec.name_tables):
        for weights in models.get_model_weights(name):
            used = weights.transforms()
            assert (tuple(used.mean), tuple(used.std)) == IMAGENET
            checksum = weights.url.rpartition("-")[2].partition(".")[0]
            rows[checksum] = (name, used.crop_size[0], used.resize_size[0], used.interpolation.value)
    return rows


@pytest.mark.parity
def test_torchvisions_table_is_its_own():
    assert torchvision_table() == WEIGHTS


@pytest.mark.parity
def test_timms_configurations_are_read_as_timm_does():
    timm = pytest.importorskip("timm")
    for name in (name for name, spec in MODELS.items() if "timm" in spec.name_tables):
        cfg = timm.get_pretrained_cfg(name)
        wanted = timm.data.resolve_data_config(pretrained_cfg=cfg.to_dict(), use_test_size=True)
        found = of(name, "x.safetensors", config={"architecture": name, "pretrained_cfg": cfg.to_dict()})
        assert (3, found.image_size, found.image_size) == wanted["input_size"], name
        assert found.resize == int(found.image_size / wanted["crop_pct"]), name
        assert (found.mean, found.std) == (wanted["mean"], wanted["std"]), name
        assert found.interpolation == wanted["interpolation"], name


if __name__ == "__main__":
    print("\n".join(f'    "{checksum}": {row},' for checksum, row in torchvision_table().items()))
