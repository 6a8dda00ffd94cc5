"""Real processes on one machine: two train as one does."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from resnet_jax.checkpoints.reader import open_checkpoint

ROOT = Path(__file__).parents[2]
QUICK = "--xla_backend_optimization_level=0"
COMPARE = Path(__file__).with_name("compare_pairs.py")
COUNT = Path(__file__).parent / "count_examples.py"
OPTIONS = (  # 16 steps; a test set, and a last batch of it, that no number of processes divides
    "--data.train-split train[:10%] --data.test-split test[:53] --data.batch-size 32 --train.epochs 4 "
    "--train.eval-every-epochs 2 --optim.warmup-epochs 1 --train.log-every-steps 3 --checkpoint.every-steps 3 "
    "--model.name cifar_resnet8 "
    "--data.mixup 0.2 --model.drop-path 0.1 --model.drop-rate 0.1 --optim.ema-decay 0.9 --model.bn-axis data "
    "--log.no-tensorboard"
).split()


def processes(folder, tfds_dir, count, mode, *arguments, auto=False, program=(str(ROOT / "train.py"),)):
    """Starts `count` processes that have four simulated devices together."""
    port = random.randint(20_000, 50_000)
    started = []
    for i in range(count):
        environment = os.environ | {"XLA_FLAGS": f"{QUICK} --xla_force_host_platform_device_count={4 // count}"}
        line = [sys.executable, *program, "--workdir", str(folder), "--data.data-dir", tfds_dir]
        line += [*OPTIONS, "--train.parallel", mode, *arguments]
        if auto:  # the variables that Slurm sets
            messages = {"JOB_ID": port, "STEP_NODELIST": "127.0.0.1", "NTASKS": count, "PROCID": i, "LOCALID": i}
            environment |= {f"SLURM_{name}": str(value) for name, value in messages.items()}
            line += ["--distributed.auto"]
        elif count > 1:
            line += ["--distributed.coordinator", f"127.0.0.1:{port}", "--distributed.processes", str(count)]
            line += ["--distributed.process-id", str(i)]
        line += ["--distributed.heartbeat-seconds", "20"] if count > 1 else []
        log = folder.with_name(f"{folder.name}.{i}.log")
        with log.open("w") as out:
            started.append(subprocess.Popen(line, stdout=out, stderr=out, env=environment, cwd=ROOT))
    return started


def ended(started, folder):
    """Exit statuses and outputs."""
    statuses = [process.wait(timeout=300) for process in started]
    return statuses, [folder.with_name(f"{folder.name}.{i}.log").read_text() for i in range(len(started))]


def wait_for_save(folder, after, started):
    while max((int(p.name) for p in folder.glob("checkpoints/*") if p.name.isdigit()), default=0) <= after:
        assert all(process.poll() is None for process in started), ended(started, folder)
        time.sleep(0.02)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_train_as_one_and_back(tmp_path, tfds_dir, digits):
    """One process computes a run. Two compute another, are stopped; one resumes it, is stopped; two end it."""
    straight, folder = tmp_path / "straight", tmp_path / "run"
    statuses, message = ended(processes(straight, tfds_dir, 1, "pmap"), straight)
    assert statuses == [0], message
    last = 0
    for count, mode, victim in ((2, "pmap", 1), (1, "shard_map", 0)):
        started = processes(folder, tfds_dir, count, mode)
        wait_for_save(folder, last, started)
        started[victim].send_signal(signal.SIGTERM)
        statuses, message = ended(started, folder)
        assert statuses == [143] * count, message
        steps = {text.partition(" at step ")[2].partition(",")[0] for text in message}
        assert len(steps) == 1 and int(steps.pop()) > last
        last = open_checkpoint(folder).step
        assert all(line["step"] <= last for line in records(folder))
    statuses, message = ended(processes(folder, tfds_dir, 2, "shard_map", auto=True), folder)
    assert statuses == [0, 0], message
    assert f"in 2 processes: 16 steps in {folder}, resuming from step {last}" in message[0]
    assert "steps in" not in message[1]  # only process 0 prints
    for one, other in zip(records(straight), records(folder), strict=True):
        assert (one["step"], one["split"], one.get("images")) == (other["step"], other["split"], other.get("images"))
        assert one["loss"] == pytest.approx(other["loss"], rel=2e-4)
    assert records(folder)[-1]["images"] == 53
    one, other = open_checkpoint(straight).arrays, open_checkpoint(folder).arrays
    for name in ("params", "ema"):
        a, b = (np.concatenate([x.ravel() for x in jax_leaves(tree[name])]) for tree in (one, other))
        assert np.linalg.norm(a - b) < 1e-3 * np.linalg.norm(a)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 3])
def test_two_processes_count_every_example_once(devices):
    """With `devices` devices each, for sizes of sets and batches that hypothesis chooses."""
    port = random.randint(20_000, 50_000)
    environment = os.environ | {"XLA_FLAGS": f"{QUICK} --xla_force_host_platform_device_count={devices}"}
    lines = [[sys.executable, str(COUNT), f"127.0.0.1:{port}", str(i)] for i in range(2)]
    started = [subprocess.Popen(line, stdout=-1, stderr=-1, text=True, env=environment) for line in lines]
    for process in started:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0 and f"counted with {2 * devices} devices" in out, err


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_pairs_of_one_device():
    port = random.randint(20_000, 50_000)
    environment = os.environ | {
        "XLA_FLAGS": f"{QUICK} --xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests/helpers"))),
        "JAX_ENABLE_X64": "1",
    }
    lines = [[sys.executable, str(COMPARE), f"127.0.0.1:{port}", str(i)] for i in range(2)]
    started = [subprocess.Popen(line, stdout=-1, stderr=-1, text=True, env=environment) for line in lines]
    for process in started:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0 and "equal with 4 devices" in out, err


def jax_leaves(tree):
    return [leaf for part in tree.values() for leaf in jax_leaves(part)] if isinstance(tree, dict) else [tree]


@pytest.mark.slow
def test_a_lost_process_ends_the_others_with_a_line(tmp_path, tfds_dir, digits):
    folder = tmp_path / "run"
    started = processes(folder, tfds_dir, 2, "pmap", "--train.epochs", "400")
    wait_for_save(folder, 0, started)
    started[1].kill()
    began = time.monotonic()
    statuses, message = ended(started, folder)
    assert time.monotonic() - began < 40 and statuses == [1, -signal.SIGKILL]
    assert message[0].strip().splitlines()[-1].startswith("stopped: "), message[0]


TROUBLED = """
import sys, time
from resnet_jax import cli
from resnet_jax.checkpoints import manager
from resnet_jax.runs import trainer

make_plan, write_checksums, written = trainer.make_plan, manager.write_checksums, []

def slowly(config, *record):
    time.sleep(33 * config.distributed.process_id)
    return make_plan(config, *record)

def until_full(folder, *checksums):
    written.append(folder.name.partition(".")[0])
    if written[-1] != written[0]:
        raise OSError(28, "No space left on device")
    write_checksums(folder, *checksums)

trainer.make_plan, manager.write_checksums = slowly, until_full
cli.main(["train", *sys.argv[1:]])
"""


@pytest.mark.slow
def test_one_that_comes_late_is_waited_for_and_checksums_that_cannot_be_written_end_all(tmp_path, tfds_dir, digits):
    """A process starts after the half minute of the first collective; then the disk of process 0 fills up."""
    folder = tmp_path / "run"
    started = processes(folder, tfds_dir, 2, "pmap", program=("-c", TROUBLED))
    statuses, message = ended(started, folder)
    assert statuses == [1, 1], message
    assert f"stopped: checkpoint 6 could not be written in {folder}/checkpoints: [Errno 28] No space left" in message[0]
    assert message[1].strip().splitlines()[-1].startswith("stopped: "), message[1]
    assert open_checkpoint(folder).step == 3


def test_auto_without_a_scheduler_names_the_options(tmp_path, tfds_dir):
    started = processes(tmp_path / "run", tfds_dir, 1, "pmap", "--distributed.auto")
    statuses, message = ended(started, tmp_path / "run")
    assert statuses == [2]
    assert (
        "--distributed.auto: expected Slurm, Cloud TPU, GKE or Open MPI, found none" in message[0]
        and message[0].count("\n") == 1
    )
    assert not (tmp_path / "run").exists()
