"""train.py as a user starts it: real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from resnet_jax.checkpoints.reader import open_checkpoint

ROOT = Path(__file__).parents[1]
SHORT = "--train.epochs 12 --train.eval-every-epochs 2 --optim.warmup-epochs 2 --train.log-every-steps 11".split()


QUICK = "--xla_backend_optimization_level=0"


def command(workdir, tfds_dir, *arguments, devices=1, flags=QUICK):
    flags = f"{flags} --xla_force_host_platform_device_count={devices}"
    line = [sys.executable, str(ROOT / "train.py"), "--workdir", str(workdir), "--data.data-dir", tfds_dir, *arguments]
    return {"args": line, "env": os.environ | {"XLA_FLAGS": flags}, "cwd": workdir.parent}


def run(*arguments, **options):
    return subprocess.run(**command(*arguments, **options), capture_output=True, text=True)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_four_devices_learn_as_well_as_one(tmp_path, tfds_dir, digits):
    done = run(tmp_path / "run", tfds_dir, *SHORT, devices=4, flags="")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "4 cpu devices (pmap)" in done.stdout
    assert records(tmp_path / "run")[-1]["top1"] > 0.9


EVERYTHING = (  # 45 steps, of which every 5th is saved, every 9th tested, every 7th logged
    "--data.train-split train[:10%] --data.test-split test[:20] --data.batch-size 16 --train.epochs 5 "
    "--train.eval-every-epochs 1 --optim.warmup-epochs 2 --train.log-every-steps 7 --checkpoint.every-steps 5 "
    "--model.name cifar_resnet8 "
    "--data.mixup 0.2 --model.drop-path 0.1 --optim.ema-decay 0.9 --optim.accumulate 2 --log.no-tensorboard"
).split()
PATHS = {"in memory": EVERYTHING, "decoded": [*EVERYTHING, "--data.image-size", "8", "--data.threads", "2"]}


@pytest.fixture(scope="module", params=PATHS)
def straight(request, tmp_path_factory, tfds_dir):
    """A run that nothing interrupts, and its options."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    done = run(folder, tfds_dir, *PATHS[request.param])
    assert done.returncode == 0, done.stderr
    return folder, PATHS[request.param]


def saved(folder):
    return [int(path.name) for path in folder.glob("checkpoints/*") if path.name.isdigit()]


def numbers(folder):
    clock = ("images_per_second", "data_wait")
    return [{k: v for k, v in line.items() if k not in clock} for line in records(folder)]


def assert_same(folder, other):
    """Every record, and every array of the last checkpoint, to the bit."""
    assert numbers(folder) == numbers(other)
    a, b = open_checkpoint(folder), open_checkpoint(other)
    assert a.step == b.step and a.arrays["ema"]["params"]
    jax.tree.map(np.testing.assert_array_equal, a.arrays, b.arrays)


def start(folder, tfds_dir, arguments):
    """A process, once it has printed the step from which it resumes; and that step."""
    line = command(folder, tfds_dir, *arguments)
    process = subprocess.Popen(**line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = ""
    while f"steps in {folder}" not in line:
        line = process.stdout.readline()
        assert line, process.stderr.read()
    return process, int(line.rpartition("resuming from step ")[2] if "resuming" in line else 0)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_end(straight, tmp_path, tfds_dir):
    folder, arguments = tmp_path / "killed", straight[1]
    for moment in ("between saves", "in a save", "in a save"):
        before = max(saved(folder), default=0)
        process, began = start(folder, tfds_dir, arguments)
        assert began == before
        while process.poll() is None:
            saving = any(folder.glob("checkpoints/*tmp*")) and max(saved(folder), default=0) > before
            if saving if moment == "in a save" else max(saved(folder), default=0) > before:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        assert process.wait() == -signal.SIGKILL
        assert max(saved(folder)) > before
    again = run(folder, tfds_dir, *arguments)
    assert again.returncode == 0, again.stderr
    assert "an earlier start ended unexpectedly: process" in again.stdout
    assert_same(folder, straight[0])


@pytest.mark.slow
@pytest.mark.parametrize("straight", ["decoded"], indirect=True)
def test_stopped_by_signals_it_saves_at_once_and_goes_on_to_the_same_end(straight, tmp_path, tfds_dir):
    """SIGTERM while it trains, and Ctrl-C."""
    folder, arguments = tmp_path / "stopped", straight[1]
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before = max(saved(folder), default=0)
        process, began = start(folder, tfds_dir, arguments)
        assert began == before
        while max(saved(folder), default=0) <= before:
            time.sleep(0.01)
        process.send_signal(number)
        signalled = time.monotonic()
        out, err = process.communicate()
        assert process.returncode == status and time.monotonic() - signalled < 10
        line = f"stopped by {number.name} at step {max(saved(folder))}, which is saved"
        assert err.splitlines()[-1].startswith(line), err
    assert run(folder, tfds_dir, *arguments).returncode == 0
    assert_same(folder, straight[0])


def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, tfds_dir):
    for arguments, line in (
        (["--data.batch-size", "100"], "error: expected --data.batch-size to be a multiple of 8"),
        (["--model.name", "resnet5o"], "error: no model named 'resnet5o'; did you mean resnet50"),
        (["--modle.name", "resnet50"], "error: no option --modle.name; did you mean --model.name?"),
    ):
        done = run(tmp_path / "run", tfds_dir, *arguments, devices=8)
        assert done.returncode == 2
        assert done.stderr.startswith(line) and done.stderr.count("\n") == 1
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_diverging_run_stops_with_one_line(tmp_path, tfds_dir):
    done = run(
        tmp_path / "run",
        tfds_dir,
        "--optim.peak-lr",
        "1e30",
        "--model.name",
        "cifar_resnet8",
        "--train.epochs",
        "6",
        *SHORT[2:],
    )
    assert done.returncode == 1
    assert done.stderr.startswith("stopped: ") and done.stderr.count("\n") == 1
    assert "learning rate" in done.stderr and "there is no checkpoint yet" in done.stderr
