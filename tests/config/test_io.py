"""Configs in files and as dicts."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_jax.config import (
    Config,
    DataConfig,
    ModelConfig,
    changes,
    default_workdir,
    from_dict,
    load_config,
    to_dict,
)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.floats(0, 1)),
    st.booleans(),
    st.none() | st.integers(1, 9),
)
def test_json_round_trip(rate, means, nesterov, group):
    config = Config(
        model=ModelConfig(bn_group_size=group),
        data=DataConfig(mean=tuple(means)),
        optim=dataclasses.replace(Config().optim, peak_lr=rate, nesterov=nesterov),
    )
    assert from_dict(to_dict(config)) == config


def test_absent_fields_have_their_defaults_and_unknown_ones_are_named():
    assert from_dict({"optim": {"peak_lr": 0.5}}).optim.peak_lr == 0.5
    assert from_dict({}) == Config()
    with pytest.raises(ValueError, match="OptimConfig has no field 'peaklr'; did you mean peak_lr"):
        from_dict({"optim": {"peaklr": 0.5}})


def test_changes_name_fields():
    other = dataclasses.replace(Config(), data=DataConfig(batch_size=3))
    assert changes(to_dict(Config()), to_dict(other)) == {"data.batch_size": (128, 3)}
    assert changes(to_dict(Config()), to_dict(Config())) == {}


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("a.py", "config = 3", ValueError, "expected `config = Config"),
        ("a.py", "import nothing_of_that_name", ValueError, "ModuleNotFoundError"),
        ("a.py", "config = (", ValueError, "SyntaxError"),
        ("b.py", "", FileNotFoundError, "no config file"),
    ],
)
def test_files_that_are_no_configs_are_named(tmp_path, name, text, error, said):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(error) as caught:
        load_config(tmp_path / name)
    assert said in str(caught.value)
    assert name == "a.py" or "did you mean a.py" in str(caught.value)


def test_the_default_workdir_is_named_by_data_and_net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def named(net="cifar_resnet20", **data):
        return default_workdir(replace(Config(), model=ModelConfig(name=net), data=DataConfig(**data)))

    assert named() == Config().workdir == "runs/digits_resnet20"
    assert named("resnet50", path="photos/flowers/") == "runs/flowers_resnet50"
    assert named(path="sets/mine.npz") == "runs/mine_resnet20" and named(path=".") == f"runs/{tmp_path.name}_resnet20"
    assert named(name="cats/small:1.0.0") == "runs/cats_small_1.0.0_resnet20"
    # A run of another net that was started when all had one default is found again.
    record = {"config": to_dict(replace(Config(), model=ModelConfig(name="resnet18"))), "versions": {}}
    Path("runs/digits_resnet20").mkdir(parents=True)
    Path("runs/digits_resnet20/config.json").write_text(json.dumps(record))
    assert named("resnet18") == "runs/digits_resnet20" and named("resnet34") == "runs/digits_resnet34"
