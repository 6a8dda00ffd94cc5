"""Nets with published weights, from servers on this machine."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import recipe
import web_server
from flax.traverse_util import flatten_dict
from safetensors.numpy import save

import resnet_jax
from resnet_jax import Pretrained, create_model
from resnet_jax.models import published
from resnet_jax.models.published import PublishedWeights
from resnet_jax.weights.sources.cache import VARIABLE

MODEL = create_model("cifar_resnet8", num_classes=7)
VARIABLES = jax.tree.map(lambda x: np.ascontiguousarray(x, np.float32), recipe.variables(MODEL))


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Two tags of published weights of a tiny net: both are files on a server."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with web_server.serve() as site:
        for name, scale in (("first", 1), ("second", 2)):
            state = {"/".join(path): scale * x for path, x in flatten_dict(VARIABLES).items()}
            site.pages[f"/{name}.safetensors"] = web_server.Page(save(state))
        numbers = {"classes": 7, "parameters": 1, "image_size": 32, "crop_pct": 1.0, "interpolation": "bicubic"}
        images = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
        first = PublishedWeights("cifar_resnet8", "V1", "torchvision", **numbers, **images)
        first = replace(first, url=f"{site.address}/first.safetensors")
        second = replace(first, tag="V2", url=f"{site.address}/second.safetensors")
        monkeypatch.setattr(published, "_table", lambda: {"cifar_resnet8": (first, second)})
        yield first, second


def test_a_net_comes_with_its_default_weights_or_those_of_a_tag(rows):
    for pretrained, scale, row in ((True, 2, rows[1]), ("V1", 1, rows[0]), ("V2", 2, rows[1])):
        loaded = create_model("cifar_resnet8", pretrained=pretrained)
        assert isinstance(loaded, Pretrained) and loaded.model == MODEL
        assert loaded.preprocess == row.preprocess and loaded.preprocess.source == row.name
        expected = jax.tree.map(lambda x, scale=scale: np.float32(scale) * x, VARIABLES)
        jax.tree.map(np.testing.assert_array_equal, loaded.variables, expected)


def test_a_tag_is_a_tag_where_a_folder_has_its_name(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("V1", "V3"):
        (tmp_path / name).mkdir()
    assert create_model("cifar_resnet8", pretrained="V1").preprocess.source == rows[0].name
    with pytest.raises(ValueError, match="did you mean load_pretrained"):
        create_model("cifar_resnet8", pretrained="V3")


def test_options_of_the_net_and_of_its_head(rows):
    loaded = create_model("cifar_resnet8", pretrained=True, drop_path=0.1, dtype="bfloat16")
    assert loaded.model == MODEL.clone(drop_path=0.1, dtype="bfloat16")
    loaded = create_model("cifar_resnet8", pretrained=True, num_classes=3, drop_rate=0.5)
    assert loaded.model == MODEL.clone(num_classes=3, drop_rate=0.5)
    assert loaded.variables["params"]["head"]["dense"]["kernel"].shape == (64, 3)
    assert "head" not in create_model("cifar_resnet8", pretrained=True, num_classes=0).variables["params"]
    for options in ({}, {"drop_rate": 0.5}):
        loaded = create_model("cifar_resnet8", pretrained=True, in_channels=1, **options)
        assert loaded.model == MODEL.clone(in_channels=1, **options) and loaded.preprocess.mean == (pytest.approx(0.2),)
        grey = 2 * VARIABLES["params"]["stem"]["conv"]["kernel"].sum(2, keepdims=True)
        np.testing.assert_allclose(loaded.variables["params"]["stem"]["conv"]["kernel"], grey, rtol=1e-5, atol=1e-6)


def test_without_weights_it_is_the_module():
    assert create_model("cifar_resnet8", pretrained=False, num_classes=7) == MODEL
    assert MODEL == resnet_jax.models.create_model("cifar_resnet8", num_classes=7)
    with pytest.warns(FutureWarning, match="is now create_model") as warnings:
        assert create_model(name="cifar_resnet8", num_classes=7) == MODEL
    assert warnings[0].filename == __file__


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("cifar_resnet9", {"pretrained": True}, ValueError, "no model named 'cifar_resnet9'; did you mean"),
        ("cifar_resnet8", {"pretrained": True}, ValueError, "no weights of 'cifar_resnet8' are published; "),
        ("resnet50", {"pretrained": "a1"}, ValueError, "no weights 'a1' of resnet50 are published; expected a1_in1k, "),
        ("resnet50", {"pretrained": "a/b"}, ValueError, r"be a tag, got 'a/b'; did you mean load_pretrained\('a/b'\)"),
        ("resnet50", {"pretrained": None}, TypeError, "expected pretrained to be True, False or a tag .str., got None"),
        ("resnet50", {"pretrained": True, "num_clases": 3}, TypeError, "no option 'num_clases'; did you mean num_cl"),
        (None, {"pretrained": True}, TypeError, "expected a model name .str., as .resnet50., got None"),
    ],
)
def test_mistakes_are_found_before_anything_is_downloaded(name, options, error, message):
    with pytest.raises(error, match=message):
        create_model(name, **options)
