"""Kills runs a hundred times, at random moments and inside saves; each must end like an uninterrupted run.

    python benchmarks/soak/kills.py [--kills 100] [--path memory|decoded]        (about 20 minutes for each path)

A run is killed and restarted until it ends by itself, and is then compared with an uninterrupted run: every record of
metrics.jsonl and every array of the last checkpoint, bit for bit. A third of the kills happen at any moment of a start,
a third after its first save, and a third during a save. Half of the last third also truncate a file of the newest
checkpoint, as a power failure may do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np

from resnet_jax.checkpoints.reader import open_checkpoint, saved_steps

ROOT = Path(__file__).parents[2]
OPTIONS = (
    "--model.name cifar_resnet8 --data.train-split train[:20%] --data.test-split test[:60] --data.batch-size 32 "
    "--train.epochs 40 --train.eval-every-epochs 3 --optim.warmup-epochs 2 --train.log-every-steps 11 "
    "--checkpoint.every-steps 7 --checkpoint.keep-latest 3 --data.mixup 0.2 --model.drop-path 0.1 "
    "--optim.ema-decay 0.9 --optim.accumulate 2"
).split()
PATHS = {"memory": [], "decoded": "--data.image-size 8 --data.threads 2".split()}
LONGEST = 4.0  # seconds from the first line of a start, or from its first save, to the kill


def start(folder: Path, options: list[str]) -> subprocess.Popen[str]:
    line = [sys.executable, str(ROOT / "train.py"), "--workdir", str(folder), *options]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def numbers(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("images_per_second", "data_wait")} for line in lines]


def saving(folder: Path) -> bool:
    return any(folder.glob("checkpoints/*.orbax-checkpoint-tmp*"))


def kill(process: subprocess.Popen[str], folder: Path, rng: random.Random) -> str | None:
    """Waits and kills; returns the kind of the kill, or None if the run ended first."""
    how, wait = rng.choice(["at any moment", "after a save", "in a save"]), rng.random() * LONGEST
    before, began = saved_steps(folder / "checkpoints")[-1:], time.monotonic()
    while process.poll() is None:
        if how != "at any moment" and saved_steps(folder / "checkpoints")[-1:] == before:
            began = time.monotonic()
        if time.monotonic() - began >= wait and (how != "in a save" or saving(folder)):
            break
        time.sleep(0.0005)
    if process.poll() is not None:
        return None
    if how == "in a save":
        time.sleep(rng.random() * 0.2)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        return None
    if how != "in a save" or rng.random() < 0.5 or len(steps := saved_steps(folder / "checkpoints")) < 2:
        return how
    files = sorted(path for path in (folder / "checkpoints" / str(steps[-1])).rglob("*") if path.is_file())
    victim = rng.choice(files)
    os.truncate(victim, rng.randrange(victim.stat().st_size + 1) // 2)
    return "in a save, with a truncated file"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--path", choices=PATHS, default="memory")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    options, rng = [*OPTIONS, *PATHS[arguments.path]], random.Random(arguments.seed)
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        straight = Path(name) / "straight"
        output, _ = (process := start(straight, options)).communicate()
        assert process.returncode == 0, output
        expected, reference = open_checkpoint(straight), numbers(straight)
        runs, began, corrupted = 0, time.monotonic(), 0
        while done.total() < arguments.kills:
            folder, ended = Path(name) / f"run{runs}", False
            while not ended:
                process = start(folder, options)
                # A start that is killed while it imports tests nothing.
                output = ""
                while (line := process.stdout.readline()) and f"steps in {folder}" not in line:  # type: ignore[union-attr]
                    output += line
                how = kill(process, folder, rng)
                rest = process.stdout.read()  # type: ignore[union-attr]
                corrupted += output.count("; moved to") + rest.count("; moved to")
                ended = how is None
                assert not ended or process.returncode == 0, output + rest
                done.update([how] if how else [])
            last = open_checkpoint(folder)
            assert numbers(folder) == reference, f"{folder}: other records"
            jax.tree.map(np.testing.assert_array_equal, last.arrays, expected.arrays)
            runs += 1
            print(f"{done.total()} kills, {runs} runs ended without a difference, {time.monotonic() - began:.0f} s")
        kinds = ", ".join(f"{count} {how}" for how, count in sorted(done.items()))
        print(f"{arguments.path}: {done.total()} kills ({kinds}) of {runs} runs of {expected.step} steps; "
              f"{corrupted} corrupted checkpoints moved away; all ended bit for bit equal")  # fmt: skip


if __name__ == "__main__":
    main()
