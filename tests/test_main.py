"""`python -m resnet_jax`."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("arguments, usage", [(["--help"], "COMMAND [options]"), (["train", "-h"], "train [options]")])
def test_the_package_is_the_command_line_and_names_itself_as_it_was_started(arguments, usage):
    done = subprocess.run([sys.executable, "-m", "resnet_jax", *arguments], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: python -m resnet_jax {usage}"), done.stderr
