"""Preprocessing by the file of the weights."""

from pathlib import Path

import numpy as np
import pytest

from resnet_jax import create_model
from resnet_jax.models import MODELS
from resnet_jax.models.spec import IMAGENET
from resnet_jax.weights.preprocessing import preprocess_for
from resnet_jax.weights.published import by_checksum


def preprocess(name, file, layout="timm", config=None, **overrides):
    row = by_checksum(MODELS[name], Path(file))
    return preprocess_for(create_model(name, **overrides), MODELS[name], name, layout, Path(file), config or {}, row)


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
def test_torchvisions_weights_are_found_by_the_checksum_in_the_file_name(file, size, resize, interpolation):
    name = file.partition("-")[0].removesuffix("_rwightman")
    values = preprocess(name, file)
    assert (values.image_size, values.resize, values.interpolation) == (size, resize, interpolation)
    assert (values.mean, values.std) == IMAGENET
    assert values.source.startswith(f"torchvision/{name}.IMAGENET1K_V")


def test_files_that_timm_publishes_are_found_by_their_checksum_too():
    values = preprocess("resnet50", "resnet50_a1_0-14fe96d1.pth")
    assert (values.image_size, values.resize, values.interpolation) == (288, 288, "bicubic")
    assert values.source == "timm/resnet50.a1_in1k"


def test_assumed_values_are_reported_as_assumed():
    """Also for the checksum of another net. torchvision's only weights of resnext101_64x4d have 232."""
    for name, file, resize in (
        ("resnet50", "mine.pth", 256),
        ("resnet50", "resnet50-f37072fd.pth", 256),
        ("resnext101_64x4d", "mine.pth", 232),
    ):
        values = preprocess(name, file)
        assert values.resize == resize and values.source.startswith("assumed: unknown file; these are")
    assert preprocess("resnet50", "mine.pth") == preprocess("resnet50", "resnet50-0676ba61.pth")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"interpolation": "random"}, "interpolation to be bilinear, bicubic, lanczos or nearest, got 'random'"),
        ({"crop_mode": "centre"}, "crop_mode to be center, squash or border, got 'centre'"),
        ({"input_size": [3, 224, 192]}, r"input_size to be a square \[C, S, S\], got \[3, 224, 192\]"),
        ({"input_size": "224"}, r"input_size to be a square \[C, S, S\], got 224"),
        ({"crop_pct": 1e-300}, "at most 10,000 pixels before the crop, got crop_pct=1e-300"),
        ({"crop_pct": "0.9"}, "crop_pct to be a number above 0, got '0.9'"),
        ({"mean": [0.5] * 2}, r"mean to be 3 numbers from 0 to 1, one per channel, got \[0.5, 0.5\]"),
        ({"mean": [123.7, 116.3, 103.5]}, r"mean to be 3 numbers from 0 to 1, one per channel, got \[123.7"),
        ({"std": [float("nan")] * 3}, r"std to be 3 numbers from 0 to 1, one per channel, got \[nan"),
        ({"std": [0.0, 0.5, 0.5]}, "std to be above 0, one value per mean"),
        ("a string", "pretrained_cfg to be an object, got 'a string'"),
    ],
)
def test_invalid_values_of_timms_configuration_are_refused(wrong, expected):
    with pytest.raises(ValueError, match=f"config.json: expected {expected}"):
        preprocess("resnet50", "x.safetensors", config={"pretrained_cfg": wrong})


def test_grey_nets_get_the_mean_over_the_channels_and_others_none():
    grey = preprocess("resnet18", "x.pth", in_channels=1)
    assert grey.mean == pytest.approx([0.449]) and grey.std == pytest.approx([0.226])
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(grey(pixels), (pixels / 255 - 0.449) / 0.226, atol=1e-6)
    four = {"input_size": [4, 64, 64], "mean": [0.1, 0.2, 0.3, 0.4], "std": [0.5] * 4}
    assert preprocess("resnet18", "x.pth", config=four, in_channels=1).mean == pytest.approx([0.25])
    with pytest.raises(ValueError, match=r"no mean and deviation are known .*; build a Preprocess"):
        preprocess("resnet18", "x.pth", in_channels=4)(np.zeros((1, 4, 4, 4), np.uint8))


@pytest.mark.parity
def test_timms_configurations_are_read_as_timm_does():
    timm = pytest.importorskip("timm")
    for name in (name for name, spec in MODELS.items() if "timm" in spec.name_tables):
        cfg = timm.get_pretrained_cfg(name)
        expected = timm.data.resolve_data_config(pretrained_cfg=cfg.to_dict(), use_test_size=True)
        values = preprocess(name, "x.safetensors", config={"architecture": name, "pretrained_cfg": cfg.to_dict()})
        assert (3, values.image_size, values.image_size) == expected["input_size"], name
        assert values.resize == int(values.image_size / expected["crop_pct"]), name
        assert (values.mean, values.std) == (expected["mean"], expected["std"]), name
        assert values.interpolation == expected["interpolation"], name
