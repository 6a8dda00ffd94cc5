"""The process of a command."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_jax import __main__ as program
from resnet_jax.cli import main as main_module
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


def test_the_program_looks_for_cycles_rarely(monkeypatch):
    calls, thresholds = [], gc.get_threshold()
    monkeypatch.setattr(program, "use_huge_pages", lambda: calls.append("pages"))
    monkeypatch.setattr(sys, "argv", ["train.py", "--train.steps", "1"])
    monkeypatch.setattr(main_module, "main", calls.append)
    try:
        program.program("train")
        assert gc.get_threshold() == (program.OBJECTS, *thresholds[1:])
    finally:
        gc.set_threshold(*thresholds)
    assert calls == ["pages", ["train", "--train.steps", "1"]]


def test_closed_streams_are_empty(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    main(["--version"])
    assert sys.stdin.read() == "" and sys.stderr.write("x") == 1
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
