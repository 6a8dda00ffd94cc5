"""resnet-jax summary."""

import json

import pytest

from resnet_jax.cli.main import main
from resnet_jax.config import Config, ModelConfig, to_dict


def test_a_summary_of_a_run_leads_to_its_net(tmp_path, capsys):
    message = "expected the name of a net, as resnet-jax models lists them"
    with pytest.raises(SystemExit):
        main(["summary", str(tmp_path)])
    assert capsys.readouterr().err.rstrip().endswith(message)
    config = Config(model=ModelConfig(name="clip_resnet50"))
    (tmp_path / "config.json").write_text(json.dumps({"config": to_dict(config)}))
    with pytest.raises(SystemExit):
        main(["summary", str(tmp_path)])
    assert f"{message}; did you mean clip_resnet50, the net of this run?" in capsys.readouterr().err
