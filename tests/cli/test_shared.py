"""Checks that several commands share."""

import dataclasses
import json

import pytest

from resnet_jax.cli.main import main
from resnet_jax.cli.shared import with_sources
from resnet_jax.config import Config, DataConfig, to_dict


def test_commands_that_need_the_runs_images_say_so(tmp_path, capsys):
    config = dataclasses.replace(Config(), data=DataConfig(path=str(tmp_path / "gone")))
    (tmp_path / "config.json").write_text(json.dumps({"config": to_dict(config)}))
    for line in (["replay", str(tmp_path), "1"], ["recalibrate", str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(line)
        assert f"gone', where {tmp_path} read its images; move them back" in capsys.readouterr().err


def test_a_table_of_sources_ends_a_description():
    lines = with_sources("Does it.").splitlines()
    assert lines[0] == "Does it." and lines[4].startswith("  a run  ")
    assert max(map(len, lines)) <= 80
