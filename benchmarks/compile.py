"""Times what comes before the first step: starts of runs, starts of commands, and compilation by net.

    python benchmarks/compile.py [starts] [commands] [nets]

starts: seconds from the start of `python train.py` to the end of its first step, with an empty compilation cache and
with the one that this start has filled; `--starts NET:BATCH ...`, on the digits. commands: seconds of each command of
NAMES, and of `import resnet_jax`. nets: seconds to trace, lower and compile the training step of a net of each family,
without a cache; `--nets NET[:BATCH:SIZE] ...`. Each in processes of their own; medians of `--rounds` with the lowest
and highest, but one cold start, and one compilation. One JSON line per result. Three minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from turns import machine, net_case

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "--help",
    "--print-completion bash",
    "train --help",
    "models",
    "weights resnet50*",
    "summary resnet50",
    "data digits --sheet {folder}/sheet.png",
)
OF_A_RUN = ("plot {run} --out {folder}/curves.png", "predict {run} {folder}/image.png", "eval {run}")
NETS = (
    "resnet50:4:64",
    "resnetv2_50:4:64",
    "resnext50_32x4d:4:64",
    "res2net50_26w_4s:4:64",
    "efficientnet_b0:4:64",
    "skipnet50:4:64",
    "cifar_resnet20:8:32",
    "cifar_wrn16_4:8:32",
    "tsc_resnet:8:128",
)
# train.py, which ends with the first step. Its loop is replaced once the program itself has imported it.
FIRST_STEP = """
import os, sys, time
from resnet_jax.__main__ import program
from resnet_jax.cli.huge_pages import VARIABLE, memory_has_huge_pages
def first_step(request):
    from resnet_jax.runs.loop.loop import TrainingLoop
    make_steps = TrainingLoop._make_steps
    def first(loop, count, batch):
        make_steps(loop, count, batch)
        print(time.monotonic(), file=sys.stderr, flush=True)
        os._exit(0)
    TrainingLoop._make_steps = first
    run(request)
if VARIABLE in os.environ or not memory_has_huge_pages():  # else the program starts again
    from resnet_jax.cli import train
    run, train.run = train.run, first_step
program("train")
"""
COMPILE = """
import json, sys, time
import jax, numpy as np
from resnet_jax import TrainState, create_model, make_train_step
from resnet_jax.training.optim import sgd
name, batch, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model, tx = create_model(name), sgd(0.1)
series = name.startswith("tsc")
x = jax.ShapeDtypeStruct((batch, size, 1) if series else (batch, size, size, 3), np.float32)
y = jax.ShapeDtypeStruct((batch,), np.int32)
state = jax.eval_shape(lambda: TrainState.create(model, tx, jax.random.key(0), x))
seconds = [time.perf_counter()]
traced = jax.jit(make_train_step(model, tx, axis_name=None), donate_argnums=0).trace(state, {"image": x, "label": y})
seconds.append(time.perf_counter())
lowered = traced.lower()
seconds.append(time.perf_counter())
lowered.compile()
seconds.append(time.perf_counter())
print(json.dumps([round(b - a, 3) for a, b in zip(seconds, seconds[1:])]))
"""


def environment(**variables: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"} | variables


def summary(name: str, values: list[float]) -> dict[str, Any]:
    lowest, highest = round(min(values), 3), round(max(values), 3)
    return {name: round(statistics.median(values), 3), f"{name}_range": [lowest, highest]}


def first_step(net: str, batch: str, cache: str) -> float:
    """Seconds from the start of Python to the end of a run's first step."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--workdir", f"{folder}/run", "--model.name", net, "--data.batch-size", batch, "--train.steps", "1"]
        script = Path(folder) / "train.py"
        script.write_text(FIRST_STEP)
        command, start = [sys.executable, str(script), *options], time.monotonic()
        done = subprocess.run(
            command, env=environment(JAX_COMPILATION_CACHE_DIR=cache), capture_output=True, text=True, check=True
        )
    return float(done.stderr.splitlines()[-1]) - start


def starts(cases: list[str], rounds: int) -> Iterator[dict[str, Any]]:
    for case in cases:
        net, _, batch = case.partition(":")
        with tempfile.TemporaryDirectory() as cache:
            cold = first_step(net, batch, cache)
            warm = [first_step(net, batch, cache) for _ in range(rounds)]
        record = {"kind": "start", "what": f"`train`, {net}, batch {batch}", "cold": round(cold, 3)}
        yield record | summary("warm", warm) | {"ratio": round(statistics.median(warm) / cold, 3)}


def commands(rounds: int) -> Iterator[dict[str, Any]]:
    """Each command as a user types it; those of a run on one that has made a single step."""
    with tempfile.TemporaryDirectory() as folder:
        names = {"folder": folder, "run": f"{folder}/run"}
        env = environment(JAX_COMPILATION_CACHE_DIR=f"{folder}/cache")

        def seconds(*arguments: str) -> float:
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], env=env, check=True, capture_output=True)
            return time.perf_counter() - start

        program = ("-m", "resnet_jax")
        seconds(*program, "train", "--workdir", names["run"], "--train.steps", "1")
        seconds("-c", f"from PIL import Image; Image.new('L', (8, 8)).save('{folder}/image.png')")
        times = [seconds("-c", "import resnet_jax") for _ in range(rounds)]
        yield {"kind": "command", "what": "`import resnet_jax`"} | summary("warm", times)
        for line in (*COMMANDS, *OF_A_RUN):
            words = [word.format(**names) for word in line.split()]
            seconds(*program, *words)
            shown = line.format(folder=".", run="RUN")
            times = [seconds(*program, *words) for _ in range(rounds)]
            yield {"kind": "command", "what": f"`resnet-jax {shown}`"} | summary("warm", times)


def nets(cases: list[str]) -> Iterator[dict[str, Any]]:
    for case in cases:
        name, batch, size = (*case.split(":"), "4", "64")[:3]
        command = [sys.executable, "-c", COMPILE, name, batch, size]
        done = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True)
        trace, lower, compile_seconds = json.loads(done.stdout.splitlines()[-1])
        parts = {"trace": trace, "lower": lower, "compile": compile_seconds}
        cold = round(trace + lower + compile_seconds, 3)
        yield {"kind": "net", "what": f"{name}, {batch} x {size}", "cold": cold} | parts


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=("starts", "commands", "nets"), help="default: all")
    parser.add_argument("--starts", type=net_case, nargs="+", default=["cifar_resnet20:128", "resnet50:16"])
    parser.add_argument("--nets", type=net_case, nargs="+", default=list(NETS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    kinds = options.kinds or ["starts", "commands", "nets"]
    from importlib.metadata import version

    about = {"jax": version("jax")} | machine()
    for kind in kinds:
        records = {"starts": lambda: starts(options.starts, options.rounds),
                   "commands": lambda: commands(options.rounds),
                   "nets": lambda: nets(options.nets)}[kind]()  # fmt: skip
        for record in records:
            print(json.dumps(record | about), flush=True)


if __name__ == "__main__":
    main()
