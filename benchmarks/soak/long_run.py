"""Measures memory, open files and threads of a long run of a small net, which must not grow.

    python benchmarks/soak/long_run.py [--steps 20000] [--path memory|decoded]        (3 to 10 minutes on two cores)

The run writes curves, and tests and saves every 250 steps. The first quarter, in which caches fill, is ignored. Growth
is the median of the slopes between all pairs of samples (Theil and Sen), which is robust when the system reclaims much
memory at once. The run uses one malloc arena: with glibc's default of eight per processor, threads do not share free
memory, and every save fills a little more of each arena (0.2 to 0.3 MiB). Exits with status 1 if memory grew by more
than Orbax keeps for each save plus 1 % of the whole, or if the number of files or threads grew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
BATCH = 8
EVERY = 250  # steps between saves
ORBAX = 0.06  # MiB per save of 160 arrays, which Orbax alone keeps too
PATHS = {"memory": [], "decoded": "--data.image-size 8 --data.threads 2".split()}


def step_of(folder: Path) -> int:
    try:
        lines = (folder / "metrics.jsonl").read_bytes().splitlines()
        return int(json.loads(lines[-1])["step"])
    except (OSError, IndexError, ValueError):
        return 0


def sample(pid: int) -> tuple[float, int, int]:
    """Memory in MiB, open files and threads of a process."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(os.listdir(process / "fd")),
        len(os.listdir(process / "task")),
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--path", choices=PATHS, default="memory")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder, per_epoch = Path(name) / "run", 359 // BATCH
        line = [sys.executable, str(ROOT / "train.py"), "--workdir", str(folder), *PATHS[options.path]]
        line += f"--data.batch-size {BATCH} --data.train-split train[:25%] --data.test-split test[:40]".split()
        line += f"--train.epochs {options.steps / per_epoch} --train.eval-every-epochs {EVERY / per_epoch}".split()
        line += "--model.name cifar_resnet8 --optim.peak-lr 0.01".split()
        line += "--train.log-every-steps 50 --optim.ema-decay 0.99".split()
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, env=os.environ | {"MALLOC_ARENA_MAX": "1"})
        samples: list[tuple[int, float, int, int]] = []
        began = time.monotonic()
        while process.poll() is None:
            time.sleep(1)
            step = step_of(folder)
            if step and (not samples or step >= samples[-1][0] + options.steps // 40):
                try:
                    samples.append((step, *sample(process.pid)))
                except OSError:  # the process has just ended
                    break
                print(
                    f"step {step:6}  {samples[-1][1]:7.1f} MiB  {samples[-1][2]} files  {samples[-1][3]} threads",
                    flush=True,
                )
        assert process.wait() == 0
    steps, memory, files, threads = (np.array(column) for column in zip(*samples, strict=True))
    late = steps > options.steps / 4
    i, j = np.triu_indices(late.sum(), 1)
    slopes = (memory[late][j] - memory[late][i]) / (steps[late][j] - steps[late][i])
    grown = float(np.median(slopes)) * (steps[late][-1] - steps[late][0])
    saves = (steps[late][-1] - steps[late][0]) / EVERY
    print(f"{options.path}: {options.steps} steps in {time.monotonic() - began:.0f} s; after the first quarter, memory "
          f"{grown:+.1f} MiB of {memory[late].mean():.0f}, files {files[late].min()} to {files[late].max()}, "
          f"threads {threads[late].min()} to {threads[late].max()}; {saves:.0f} saves")  # fmt: skip
    half = len(files[late]) // 2
    more = [int(x[late][half:].max() - x[late][:half].max()) for x in (files, threads)]
    sys.exit(bool(grown > ORBAX * saves + 0.01 * memory[late].mean() or max(more) > 0))


if __name__ == "__main__":
    main()
