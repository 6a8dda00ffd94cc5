"""Measures the cost of logging and checkpoints in the default run, as a share of the time of the training steps.

    python benchmarks/overhead.py [--epochs 40]

Trains the default run as `train.py` does, with a timer around everything that writes: records, curves, progress, the
part of saves that the loop waits for, and the wait for the last save. Then times the parts of a save: checksums of the
arrays, Orbax, checksums of the files. Exits with status 1 if the share is above 2 %. For any
machine; about a minute on two CPU cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from resnet_jax.checkpoints.checksums import array_checksums, file_checksums
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.config import Config
from resnet_jax.runs.loop.loop import TrainingLoop
from resnet_jax.runs.loop.recorder import MetricsRecorder
from resnet_jax.runs.loop.reporter import RunReporter
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.trainer import train

SECONDS: Counter[str] = Counter()
CALLS: Counter[str] = Counter()
LAST = "wait for the last save"
NESTED: list[str] = []  # labels of running calls: a wait inside a save counts as the save


def watch(owner: Any, name: str, label: str) -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        start, is_nested = time.perf_counter(), bool(NESTED) and label == LAST
        NESTED.append(label)
        try:
            return inner(*args, **kwargs)
        finally:
            NESTED.pop()
            if not is_nested:
                SECONDS[label] += time.perf_counter() - start
                CALLS[label] += 1

    setattr(owner, name, timed)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=float, default=40.0)
    options = parser.parse_args(argv)
    watch(jax, "block_until_ready", "waits for steps")
    for name in ("advance", "train", "test", "sync", "print"):
        watch(RunReporter, name, f"report.{name}")
    watch(TrainingLoop, "_save", "saves, until they return")
    watch(Checkpoints, "wait", LAST)
    watch(Trainer, "test", "evaluation")
    with tempfile.TemporaryDirectory() as name:
        config = dataclasses.replace(Config(), workdir=f"{name}/run")
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=options.epochs))
        ready: list[float] = []
        add = MetricsRecorder.add

        def noted(self: Any, step: int, sums: Any) -> None:
            add(self, step, sums)
            ready.append(time.perf_counter())

        MetricsRecorder.add = noted  # type: ignore[method-assign]
        train(config)
        end = time.perf_counter()
        training = end - ready[0] - SECONDS["evaluation"]
        print(f"\n{len(ready)} steps in {training:.2f} s, from the first on, without evaluation")
        total = 0.0
        for label, seconds in SECONDS.most_common():
            share = seconds / training
            total += share if label.startswith(("report", "saves", LAST)) and "print" not in label else 0
            print(f"{label:48}{CALLS[label]:6} calls  {seconds:8.4f} s  {100 * share:6.2f} %")
        print(f"logging and checkpoints: {100 * total:.2f} % of the time of the steps")
        parts_of_a_save(Path(name))
    sys.exit(total > 0.02)


def parts_of_a_save(folder: Path) -> None:
    saved = open_checkpoint(folder / "run")
    size = sum(x.nbytes for x in jax.tree.leaves(saved.arrays)) / 2**20
    times: Counter[str] = Counter()
    rounds = 10
    with Checkpoints(folder / "again") as checkpoints:
        for i in range(rounds):
            state = jax.device_put(jax.tree.map(lambda x: x.copy(), saved.arrays))
            start = time.perf_counter()
            array_checksums(saved.arrays)
            arrays = time.perf_counter()
            checkpoints.save(i + 1, state, saved.metadata)
            returned = time.perf_counter()
            checkpoints.wait()
            ended = time.perf_counter()
            file_checksums(folder / "again" / str(i + 1))
            files = time.perf_counter()
            times.update({"arrays": arrays - start, "returned": returned - arrays,
                          "whole": ended - arrays, "files": files - ended})  # fmt: skip
    for name, seconds in times.items():
        times[name] = seconds / rounds
    share = (times["arrays"] + times["files"]) / times["whole"]
    shown = {name: f"{1000 * seconds:.1f} ms" for name, seconds in times.items()}
    print(f"a save of {size:.1f} MiB: {shown['whole']}, of which the loop waits {shown['returned']}; checksums of "
          f"arrays {shown['arrays']}, of files {shown['files']}: {100 * share:.1f} %")  # fmt: skip


if __name__ == "__main__":
    main()
