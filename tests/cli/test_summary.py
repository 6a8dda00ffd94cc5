"""resnet-jax summary."""

import pytest

from resnet_jax.cli.main import main


def test_a_summary_of_a_run_leads_to_the_list_of_nets(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["summary", str(tmp_path)])
    error = capsys.readouterr().err
    assert "expected the name of a net, as resnet-jax models lists them" in error and "list_models" not in error
