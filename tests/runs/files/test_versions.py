from importlib.metadata import version
from pathlib import Path

import pytest

import resnet_jax
from resnet_jax.runs.files.versions import commit, versions


def test_packages_have_their_versions_and_a_source_tree_its_commit():
    assert versions()["jax"] == version("jax") and "flax-resnets" in versions()
    if not (Path(resnet_jax.__file__).parents[1] / ".git").exists():
        pytest.skip("these tests run on an installed package")
    assert len(commit().removesuffix("-dirty")) == 40
