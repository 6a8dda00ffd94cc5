"""A mistake on the command line is one line, and status 2."""

import pytest

from resnet_jax.cli.messages import fail


def test_a_mistake_is_one_line_with_options_as_typed(capsys):
    with pytest.raises(SystemExit) as stopped:
        fail("data.batch_size=0:\n  expected at least 1")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: --data.batch-size 0: expected at least 1\n"
