"""Whether two versions of this package train the same runs, to the last bit.

    python benchmarks/same_runs.py record TREE OUT [--only CASE ...]     # the runs of a source tree, into a directory
    python benchmarks/same_runs.py compare OUT OTHER                     # prints the differences; status 1 if any
    python benchmarks/same_runs.py resume TREE OUT OTHER                 # TREE resumes copies of OUT's interrupted runs

The runs are the default one, a SkipNet with soft and then hard gates, and one with mixup, averaged weights,
accumulation and frozen parameters, each on 1 and on 4 simulated devices, by `pmap` and by `shard_map`, a few epochs
long. Both trees run in the environment of this interpreter, so only the code differs. Compared are every array of the
last checkpoint, bit for bit, and every number of metrics.jsonl but timings (`--tolerance 1e-6` allows for sums that
are grouped otherwise). `resume` gives the second tree what the first one had in the middle of a run, and compares how
it ends. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

SHORT = "--train.epochs 4 --optim.warmup-epochs 1 --train.eval-every-epochs 2 --train.log-every-steps 5".split()
CASES = {
    "default": [],
    "skipnet": "--model.name cifar_skipnet38 --optim.gate-penalty 0.5 --train.soft-gate-epochs 2".split(),
    "mixed": "--model.name cifar_resnet8 --data.mixup 0.2 --optim.ema-decay 0.99 --optim.accumulate 2".split()
    + ["--optim.freeze", "^(stem|stage1)", "--optim.label-smoothing", "0.1"],
}
PLACES = [(devices, mode) for devices in (1, 4) for mode in ("pmap", "shard_map")]
TIMINGS = ("images_per_second", "data_wait", "seconds", "elapsed")


def train(tree: Path, workdir: Path, options: list[str], devices: int) -> None:
    """Trains a run with the code of `tree`."""
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, str(tree / "train.py"), "--workdir", str(workdir), "--log.no-tensorboard", *options]
    print(" ".join(command[1:]), flush=True)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd=workdir.parent)


def runs(only: list[str] | None) -> list[tuple[str, list[str], int]]:
    """Name, options and number of devices of each run."""
    return [
        (f"{case}-{devices}-{mode}", [*SHORT, *options, "--train.parallel", mode], devices)
        for case, options in CASES.items()
        for devices, mode in PLACES
        if not only or case in only
    ]


def record(tree: Path, out: Path, only: list[str] | None) -> None:
    """Trains every run, and for each another one that stops in the middle (its last two epochs are not made)."""
    out.mkdir(parents=True, exist_ok=True)
    for name, options, devices in runs(only):
        train(tree, out / name, options, devices)
    for case in only or CASES:  # the middle: a checkpoint stays where the longer run tests first
        (whole,) = [out / name for name, *_ in runs([case]) if name == f"{case}-1-pmap"]
        half = out / f"{case}-half"
        shutil.copytree(whole, half)
        steps = sorted(int(step.name) for step in (half / "checkpoints").iterdir() if step.name.isdecimal())
        for step in steps[1:]:
            shutil.rmtree(half / "checkpoints" / str(step))


def arrays(run: Path) -> dict[str, np.ndarray]:
    """Every array of a run's last checkpoint, by path; read by Orbax alone."""
    last = max((run / "checkpoints").glob("[0-9]*"), key=lambda step: int(step.name))
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.restore((last / "state").resolve())
    by_path: dict[str, np.ndarray] = {"step": np.asarray(int(last.name))}

    def walk(path: str, node: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                walk(f"{path}/{key}", value)
        elif isinstance(node, list | tuple):
            for i, value in enumerate(node):
                walk(f"{path}/{i}", value)
        elif node is not None:
            by_path[path] = np.asarray(node)

    walk("state", tree)
    return by_path


def records(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without timings."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMINGS} for line in lines]


def differences(run: Path, other: Path, tolerance: float) -> list[str]:
    """Differences between two runs, a line each: arrays in any bit, numbers of records by more than `tolerance`."""
    one, two = arrays(run), arrays(other)
    problems = [f"only in one: {name}" for name in sorted(one.keys() ^ two.keys())]
    for name in sorted(one.keys() & two.keys()):
        if one[name].dtype != two[name].dtype or one[name].tobytes() != two[name].tobytes():
            far = np.abs(one[name].astype(float) - two[name]).max() if one[name].shape == two[name].shape else np.inf
            problems.append(f"{name}: differs by at most {far:.3g}")
    one_records, two_records = records(run), records(other)
    if len(one_records) != len(two_records):
        problems.append(f"metrics.jsonl has {len(one_records)} and {len(two_records)} lines")
    for number, (before, after) in enumerate(zip(one_records, two_records, strict=False), 1):
        for name in sorted(before.keys() | after.keys()):
            if not _close(before.get(name), after.get(name), tolerance):
                problems.append(f"metrics.jsonl line {number}: {name} is {before.get(name)} and {after.get(name)}")
    return problems


def _close(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two values of records are equal, or numbers that differ by at most `tolerance` of the larger one."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=0.0)
    return bool(one == other)


def compare(out: Path, other: Path, tolerance: float) -> int:
    """Prints what differs between the runs of two directories; the number of runs that do."""
    names = sorted({path.name for path in (*out.iterdir(), *other.iterdir()) if not path.name.endswith("-half")})
    unequal = 0
    for name in names:
        problems = (
            differences(out / name, other / name, tolerance)
            if (out / name).is_dir() and (other / name).is_dir()
            else ["absent"]
        )
        unequal += bool(problems)
        print(f"{name}: {'equal' if not problems else f'{len(problems)} differences'}")
        for line in problems[:5]:
            print(f"    {line}")
    return unequal


def resume(tree: Path, out: Path, other: Path, tolerance: float) -> int:
    """Resumes the interrupted runs of `out` with `tree`, in copies, and compares with how they ended in `out`."""
    other.mkdir(parents=True, exist_ok=True)
    unequal = 0
    for name, options, devices in runs(None):
        case = name.removesuffix("-1-pmap")
        if case in CASES and (out / f"{case}-half").is_dir():
            shutil.copytree(out / f"{case}-half", other / name, dirs_exist_ok=True)
            train(tree, other / name, options, devices)
            problems = differences(out / name, other / name, tolerance)
            unequal += bool(problems)
            print(f"{name} resumed: {'equal' if not problems else problems[:5]}")
    return unequal


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record")
    one.add_argument("tree", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--only", nargs="*", choices=tuple(CASES))
    one = commands.add_parser("compare")
    one.add_argument("out", type=Path)
    one.add_argument("other", type=Path)
    one = commands.add_parser("resume")
    one.add_argument("tree", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("other", type=Path)
    parser.add_argument(
        "--tolerance", type=float, default=0.0, help="of numbers in records; arrays are compared bitwise"
    )
    options = parser.parse_args(argv)
    if options.command == "record":
        return record(options.tree.resolve(), options.out.resolve(), options.only)
    if options.command == "compare":
        sys.exit(compare(options.out, options.other, options.tolerance) > 0)
    paths = (options.tree.resolve(), options.out.resolve(), options.other.resolve())
    sys.exit(resume(*paths, options.tolerance) > 0)


if __name__ == "__main__":
    main()
