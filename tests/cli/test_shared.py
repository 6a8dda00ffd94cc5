"""What several commands check."""

import dataclasses
import json

import pytest

from resnet_jax.cli.main import main
from resnet_jax.config import Config, DataConfig, to_dict


def test_a_file_of_weights_is_not_a_run(tmp_path, capsys):
    file = tmp_path / "r18.safetensors"
    file.write_bytes(b"")
    for line in (["eval", str(file)], ["predict", str(file), "x.png"]):
        with pytest.raises(SystemExit):
            main(line)
        assert "got " in (error := capsys.readouterr().err) and "load_pretrained reads it" in error


def test_commands_that_need_the_runs_images_say_so(tmp_path, capsys):
    config = dataclasses.replace(Config(), data=DataConfig(path=str(tmp_path / "gone")))
    (tmp_path / "config.json").write_text(json.dumps({"config": to_dict(config)}))
    for line in (["replay", str(tmp_path), "1"], ["recalibrate", str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(line)
        assert f"gone', where {tmp_path} read its images; move them back" in capsys.readouterr().err
