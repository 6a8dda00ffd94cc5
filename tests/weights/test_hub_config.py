"""timm's config.json beside a file of weights."""

import json

import pytest
import recipe
from safetensors.numpy import save_file

from resnet_jax import create_model, load_pretrained
from resnet_jax.models import get_spec
from resnet_jax.models.spec import IMAGENET
from resnet_jax.weights.hub_config import config_for, label_names, read_hub_config
from resnet_jax.weights.preprocessing import preprocess_for

STATE = recipe.float32_state("resnet18")


def _preprocess(name, file):
    config = config_for(name, read_hub_config(file))
    return preprocess_for(create_model(name), get_spec(name), name, "timm", file, config, None)


def test_classes_and_model_come_from_the_configuration(tmp_path):
    save_file(STATE, path := tmp_path / "model.safetensors")
    names = [f"class {number}" for number in range(1000)]
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "label_names": names}))
    loaded = load_pretrained(path)
    assert loaded.name == "resnet18" and loaded.classes == tuple(names)
    assert load_pretrained(path, num_classes=5).classes is None
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet34", "label_names": names}))
    assert load_pretrained(path, model="resnet18").classes is None


def test_preprocessing_comes_from_the_configuration(tmp_path):
    """At the test size; absent values have timm's defaults; the configuration of another net is ignored."""
    file, cfg = tmp_path / "model.safetensors", {"input_size": [3, 160, 160], "test_input_size": [3, 224, 224]}
    cfg |= {"crop_pct": 0.95, "test_crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear"}
    for config, expected in (
        ({"architecture": "resnet50", "pretrained_cfg": cfg}, (224, 224, (0.5,) * 3, "bilinear")),
        ({"pretrained_cfg": {"crop_pct": 0.95}}, (224, 235, IMAGENET[0], "bicubic")),
        ({"architecture": "resnet34", "pretrained_cfg": cfg}, (224, 256, IMAGENET[0], "bilinear")),
        ({"architecture": "vit_base_patch16_224", "pretrained_cfg": cfg}, (224, 256, IMAGENET[0], "bilinear")),
        ({"architecture": ["resnet50"], "pretrained_cfg": cfg}, (224, 256, IMAGENET[0], "bilinear")),
        ({"architecture": "resnet50", "pretrained_cfg": None}, (224, 256, IMAGENET[0], "bicubic")),
        ({"model": {"name": "resnet50"}, "mean": [0.5] * 3}, (224, 256, IMAGENET[0], "bilinear")),  # of a run of ours
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        preprocess = _preprocess("resnet50", file)
        assert (preprocess.image_size, preprocess.resize, preprocess.mean, preprocess.interpolation) == expected
        assert preprocess.source.startswith("assumed") == (expected[1:] == (256, IMAGENET[0], "bilinear"))
    assert config_for("resnet18", config := {"architecture": "resnet18_b"}) is config  # the same net
    (tmp_path / "config.json").write_text("{")
    with pytest.warns(UserWarning, match="config.json is not valid JSON and is ignored"):
        assert read_hub_config(file) == {}


def test_arguments_that_change_the_net_are_refused(tmp_path):
    save_file(STATE, tmp_path / "model.safetensors")
    config = {"architecture": "resnet18", "model_args": {"in_chans": 3, "drop_rate": 0.2}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_pretrained(tmp_path).name == "resnet18"
    config["model_args"]["global_pool"] = "max"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="model_args that are not known: global_pool='max'$"):
        load_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.warns(UserWarning, match="not valid JSON"):
        assert read_hub_config(tmp_path / "model.safetensors") == {}


def test_names_of_classes_are_texts_or_numbers():
    assert label_names({"label_names": ["ant", 7, 0.5]}, 3) == ("ant", "7", "0.5")
    for other in (None, {"a": 2}, True, ["bee"]):
        with pytest.warns(UserWarning, match="label_names of config.json are ignored: expected texts or numbers, got "):
            assert label_names({"label_names": ["ant", other]}, 2) is None
