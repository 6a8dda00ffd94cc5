"""Trains nets of time series on sets with published accuracies, and prints the table beside them.

    python benchmarks/series.py UCR OUT --sets GunPoint Coffee --nets tsc_resnet --seeds 0 1 2 3 4 --core 1
    python benchmarks/series.py UCR OUT --table      # of the runs in OUT; trains nothing

UCR has a folder for each set, as --data.path takes it. The runs are those of configs/ucr_NET.py, one after the other,
in OUT/NET/SET/SEED, with their lines in OUT/NET/SET/SEED.log. A finished run is not repeated, and one that was stopped
resumes. A run of tsc_resnet takes 3 to 20 minutes of a CPU core, one of inception_time 20 and more.

The table has the mean and the standard deviation of the test accuracy over the seeds of single nets; of five seeds or
more also that of their ensemble, the mean probability of the first five. Published: ResNet, single nets, mean and
deviation of dl-4-tsc; InceptionTime, the ensemble of five. A mean of five seeds "passes" if it is at least the
published one less 0.01, or less twice the published deviation where that is more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_jax.runs.saved.evaluation import open_evaluation
from resnet_jax.runs.starting.opening import open_run

ROOT = Path(__file__).parents[1]
MEMBERS = 5  # of an ensemble
NETS = ("tsc_resnet", "inception_time")


class Set(NamedTuple):
    """A set of series: its training series, and the published accuracies."""

    count: int
    resnet: tuple[float, float]  # mean and deviation of single nets
    inception: float  # of the ensemble of five
    normalise: str = "each"


SETS = {
    "ItalyPowerDemand": Set(67, (0.9615, 0.002), 0.9650),
    "GunPoint": Set(50, (0.991, 0.007), 1.0),
    "Coffee": Set(28, (1.0, 0.0), 1.0),
    "ArrowHead": Set(36, (0.838, 0.021), 0.8457),
    "JapaneseVowels": Set(270, (0.9916, 0.003), 0.9919, "train"),
    "Trace": Set(100, (1.0, 0.0), 1.0),
}


def batch_size(net: str, name: str) -> int:
    """Series of a mini-batch: a tenth of the training series, at most 64; of inception_time 64, or all."""
    count = SETS[name].count
    return min(count, 64) if net == "inception_time" else min(count // 10, 64)


def accuracy(run: Path) -> float | None:
    """Top-1 of the test at the end of a run; None: it has not ended."""
    file = run / "metrics.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    tests = [line for line in lines if line["split"] == "test"]
    epochs = json.loads((run / "config.json").read_text())["config"]["train"]["epochs"] if tests else 0
    return tests[-1]["top1"] if tests and tests[-1]["epoch"] >= epochs else None


def train(data: Path, run: Path, net: str, name: str, seed: int, core: int | None, others: Sequence[str]) -> None:
    """Trains or resumes a run, in a process of its own."""
    run.parent.mkdir(parents=True, exist_ok=True)
    options = {"--workdir": run, "--data.path": data / name, "--data.batch-size": batch_size(net, name)}
    options |= {"--data.series.normalise": SETS[name].normalise, "--train.seed": seed}
    options |= {"--checkpoint.every-minutes": 3, "--checkpoint.keep-latest": 1}
    config = ["--config", ROOT / "configs" / f"ucr_{net}.py", "--log.no-tensorboard"]
    command = [
        sys.executable,
        ROOT / "train.py",
        *config,
        *(word for pair in options.items() for word in pair),
        *others,
    ]
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    print(f"{net} {name} {seed}", flush=True)
    with Path(f"{run}.log").open("a") as log:
        subprocess.run([*pinned, *map(str, command)], env=environment, check=True, stdout=log, stderr=log)


def ensemble_accuracy(runs: Sequence[Path]) -> float:
    """Top-1 of the mean probabilities of runs, which is remembered beside them."""
    seeds, file = [run.name for run in runs], runs[0].parent / "ensemble.json"
    saved = json.loads(file.read_text()) if file.is_file() else {}
    if saved.get("seeds") != seeds:
        names = list(map(str, runs))
        result = open_evaluation(names, open_run(names[0]).config.data).evaluate()
        saved = {"seeds": seeds, "top1": result.metrics["top1"]}
        file.write_text(json.dumps(saved))
    return float(saved["top1"])


def row(folder: Path, net: str, name: str) -> str | None:
    """A line of the table; None: no run has ended."""
    chosen = SETS[name]
    runs = sorted((run for run in (folder / net / name).glob("[0-9]*") if run.is_dir()), key=lambda run: int(run.name))
    runs = [run for run in runs if accuracy(run) is not None]
    if not runs:
        return None
    values = np.array([accuracy(run) for run in runs])
    deviation = f"{values.std(ddof=1):.4f}" if len(values) > 1 else "-"
    together = ensemble_accuracy(runs[:MEMBERS]) if len(runs) >= MEMBERS else None
    if net == "tsc_resnet":
        mean, spread = chosen.resnet
        least = mean - max(0.01, 2 * spread)
        passes = "-" if len(values) < MEMBERS else "yes" if values.mean() >= least else "no"
        published = [f"{mean:.4f} ± {spread:.3f}", "-", passes]
    else:
        published = ["-", f"{chosen.inception:.4f}", "-"]
    single = f"{values.mean():.4f} ± {deviation}"
    ours = [net, name, str(len(values)), single, "-" if together is None else f"{together:.4f}"]
    return f"| {' | '.join([*ours, *published])} |"


def table(folder: Path, nets: Sequence[str], names: Sequence[str]) -> str:
    """The table in Markdown."""
    titles = ["net", "set", "seeds", "single nets", "ensemble", "published single", "published ensemble", "passes"]
    lines = [f"| {' | '.join(titles)} |", "|---|---|--:|--:|--:|--:|--:|---|"]
    rows = (row(folder, net, name) for net in nets for name in names)
    return "\n".join([*lines, *(line for line in rows if line is not None)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the sets")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(MEMBERS)))
    parser.add_argument("--core", type=int, help="processor of the runs; default: any")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="further options of train.py, at the end"
    )
    values = parser.parse_args(arguments)
    for net in values.nets if not values.table else ():
        for name in values.sets:
            for seed in values.seeds:
                run = values.out / net / name / str(seed)
                if accuracy(run) is None:
                    train(values.data, run, net, name, seed, values.core, values.options)
    print(table(values.out, values.nets, values.sets))


if __name__ == "__main__":
    main()
