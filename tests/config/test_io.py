"""Configs in files and as dicts."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import pytest
from corrupted_files import check_corrupted, check_other_contents
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.config import (
    Config,
    DataConfig,
    ModelConfig,
    changes,
    check_config,
    check_types,
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
    ("name", "text", "error", "message"),
    [
        ("a.py", "config = 3", ValueError, "expected `config = Config"),
        ("a.py", "import nothing_of_that_name", ValueError, "ModuleNotFoundError"),
        ("a.py", "config = (", ValueError, "SyntaxError"),
        ("b.py", "", FileNotFoundError, "no config file"),
    ],
)
def test_files_that_are_no_configs_are_named(tmp_path, name, text, error, message):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(error) as caught:
        load_config(tmp_path / name)
    assert message in str(caught.value)
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


@pytest.mark.filterwarnings("ignore")
def test_a_corrupted_config_is_read_correctly_or_named(tmp_path_factory, tmp_path):
    check_corrupted(tmp_path_factory.mktemp("run"), "config.py")
    check_other_contents(tmp_path, "config.py")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, "sgd", 1e308]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
GROUPS = {group: fields for group, fields in to_dict(Config()).items() if isinstance(fields, dict)}
FIELDS = [(group, name) for group, fields in GROUPS.items() for name in fields]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from([*((name, None) for name in ("workdir", "task", None, *GROUPS)), *FIELDS]),
    JSON,
)
def test_a_config_of_anything_is_a_config_or_its_field_is_named(place, value):
    group, name = place
    values = value if group is None else {group: value if name is None else {name: value}}
    try:
        config = from_dict(values)
        check_types(config)
        check_config(config)
    except ValueError as error:
        message = str(error)
        assert "expected " in message or "has no field" in message
        assert len(message) < 2000 and (name is None or f"{group}.{name}" in message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise RuntimeError", "RuntimeError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("\0", "null bytes"),
        ("config = Config", "NameError"),
        ("from resnet_jax.config import *; config = Config", "expected `config = Config"),
        (
            "from resnet_jax.config import *; config = Config(optim=OptimConfig(peak_lr=10**400))",
            "optim.peak_lr: expected a finite number, got 1000",
        ),
        (
            "from resnet_jax.config import *; config = Config(train=TrainConfig(seed=10**9999))",
            "train.seed: expected at least 0 and less than 2..63, got a number of 33,216 bits",
        ),
        ("from resnet_jax.config import *; config = Config(optim=3)", "optim: expected a OptimConfig, got 3"),
        (
            "from resnet_jax.config import *; config = Config(data=DataConfig(std=()))",
            "data.std: expected standard deviations of values in .0, 1.",
        ),
    ],
)
def test_config_files_that_fail_are_named(tmp_path, text, message):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(ValueError, match=f"^(config file .*a.py[: ].*)?{message}"):
        check_config(load_config(tmp_path / "a.py"))
