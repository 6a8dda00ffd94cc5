"""train.py as a user starts it: real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHORT = "--train.epochs 12 --train.eval-every-epochs 2 --optim.warmup-epochs 2 --train.log-every-steps 11".split()


def command(workdir, tfds_dir, *arguments, devices=1):
    flags = f"--xla_force_host_platform_device_count={devices}"
    line = [sys.executable, str(ROOT / "train.py"), "--workdir", str(workdir), "--data.data-dir", tfds_dir, *arguments]
    return {"args": line, "env": os.environ | {"XLA_FLAGS": flags}, "cwd": workdir.parent}


def run(*arguments, **options):
    return subprocess.run(**command(*arguments, **options), capture_output=True, text=True)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_four_devices_learn_as_well_as_one(tmp_path, tfds_dir, digits, mode):
    done = run(tmp_path / "run", tfds_dir, "--train.parallel", mode, *SHORT, devices=4)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"4 cpu devices ({mode})" in done.stdout
    assert records(tmp_path / "run")[-1]["top1"] > 0.9


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_end(tmp_path, tfds_dir, digits):
    straight = run(tmp_path / "straight", tfds_dir, *SHORT)
    assert straight.returncode == 0, straight.stderr
    folder, killed = tmp_path / "killed", 0

    def saved():
        return [int(path.name) for path in folder.glob("checkpoints/*") if path.name.isdigit()]

    def saving():
        return any(folder.glob("checkpoints/*tmp*"))

    for moment in ("after a save", "in a save", "in a save"):
        before = max(saved(), default=0)
        process = subprocess.Popen(
            **command(folder, tfds_dir, *SHORT), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None:
            if saving() if moment == "in a save" else max(saved(), default=0) > before:
                time.sleep(0.0 if moment == "in a save" else 0.2)
                process.send_signal(signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.002)
        process.wait()
    assert killed == 3
    again = run(folder, tfds_dir, *SHORT)
    assert again.returncode == 0, again.stderr
    assert "going on from step" in again.stdout

    def numbers(folder):
        clock = ("images_per_second", "data_wait")
        return [{k: v for k, v in line.items() if k not in clock} for line in records(folder)]

    assert numbers(folder) == numbers(tmp_path / "straight")


def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, tfds_dir):
    for arguments, said in (
        (["--data.batch-size", "100"], "error: data.batch_size=100 cannot be split evenly into 8"),
        (["--model.name", "resnet5o"], "error: no model named 'resnet5o'; close: resnet50"),
        (["--modle.name", "resnet50"], "error: no option --modle.name; close: --model.name"),
    ):
        done = run(tmp_path / "run", tfds_dir, *arguments, devices=8)
        assert done.returncode == 2
        assert done.stderr.startswith(said) and done.stderr.count("\n") == 1
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_diverging_run_stops_with_one_line(tmp_path, tfds_dir):
    done = run(tmp_path / "run", tfds_dir, "--optim.peak-lr", "1e30", "--train.epochs", "6", *SHORT[2:])
    assert done.returncode == 1
    assert done.stderr.startswith("stopped: ") and done.stderr.count("\n") == 1
    assert "learning rate" in done.stderr and "there is no checkpoint yet" in done.stderr
