"""Nets by kind and depth; runs are checked before any is trained."""

import pytest

from resnet_jax.config import Config, ModelConfig
from resnet_jax.errors import SetupError
from resnet_jax.experiments.runs import check_all, net_name


def test_nets_are_named_by_kind_and_depth():
    assert net_name("highway", 32) == "cifar_highway32"
    with pytest.raises(SetupError, match="expected plain nets of 20, 32, 44, 56, 110 layers, got 21"):
        net_name("plain", 21)


def test_a_run_that_cannot_be_trained_is_reported_before_any_is(tmp_path):
    configs = [Config(workdir=str(tmp_path / "a")), Config(model=ModelConfig(name="resnet5o"))]
    with pytest.raises(SetupError, match="no model named 'resnet5o'"):
        check_all(configs)
    assert not (tmp_path / "a").exists()
