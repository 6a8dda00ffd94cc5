"""The process of a command."""

import subprocess
import sys
from pathlib import Path

import pytest

from resnet_jax.cli.main import main


@pytest.mark.parametrize("arguments", ["train --help", "models"])
def test_a_closed_pipe_ends_a_command_quietly(arguments):
    line = f"{sys.executable} -m resnet_jax {arguments} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.count("\n") == 1 and done.returncode in (0, 1)


def test_windows_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit):
        main(["models"])
    assert capsys.readouterr().err.startswith("error: Windows is not supported; expected Linux or macOS")


@pytest.mark.slow
def test_a_full_disk_ends_what_is_printed_with_a_line():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        line = [sys.executable, "-m", "resnet_jax", "--help"]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "stopped: [Errno 28] No space left on device\n")
