"""Where the time of a step on a CPU goes, by kind of operation, beside PyTorch's.

    python benchmarks/operations.py --nets resnet18:16:128 --phases training
    python benchmarks/operations.py --nets resnet18:16:128 --torch-python OTHER/bin/python --longest 20

The steps are those of step.py, with profilers on: jax.profiler's time of each operation of the compiled program, and
torch.profiler's of each operator with channels_last. Milliseconds of one step, summed over the threads:

- `convolution`: forward, and both gradients; ours are XLA's convolutions or matrix products (conv_lowering.py)
- `copies`: of maps, for convolutions that are matrix products; PyTorch's are inside its convolutions
- `passes`: norms, activations, sums of branches, pools and their gradients; what XLA merges has its last one's name
- `other`: the rest, such as the update

Prints one JSON line for each net, phase and side. A minute for each.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import step
from turns import SETTINGS, machine, net_case, require

STEPS = 3
INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.+?) ([\w\-]+)\(")
PRODUCTS = ("ynn_fusion", "dot", "convolution", "conv_general_dilated")  # XLA's names of library calls
MODULES = re.compile(r"/(stem|stage\d+_block\d+|head)/")
OF_CONVOLUTION = re.compile(r"/(conv|depthwise|grouped|dense)\w*/")
THEIR_PRODUCTS = ("convolution", "mm")
THEIR_PASSES = ("batch_norm", "threshold", "clamp", "relu", "silu", "sigmoid", "pool", "mul", "mean", "aten::add")


def kind(name: str, source: str) -> str:
    """Kind of the operation `name` of the compiled program, which comes from the module path `source`."""
    if name.startswith(PRODUCTS):
        return "convolution"
    if OF_CONVOLUTION.search(source):
        return "copies"
    return "passes" if MODULES.search(source) else "other"


def ours(net: str, phase: str, examples: int, size: int) -> tuple[Counter[str], Counter[str]]:
    """Milliseconds of a step by kind, and by operation, with its shape and where it comes from."""
    import jax

    run, text = step.ours(net, phase, examples, size)
    for _ in range(3):
        run()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(STEPS):
                run()
        (file,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    times: Counter[str] = Counter()
    for event in events:
        if event.get("ph") == "X" and "hlo_op" in (event.get("args") or {}):
            times[event["args"]["hlo_op"]] += event["dur"] / 1e3 / STEPS
    lines = {match[1]: (match, line) for line in text().splitlines() if (match := INSTRUCTION.match(line))}
    kinds: Counter[str] = Counter()
    operations: Counter[str] = Counter()
    for name, ms in times.items():
        if name not in lines:
            kinds["other"] += ms
            continue
        match, line = lines[name]
        named = re.search(r'op_name="([^"]*)"', line)
        source = named[1] if named else ""
        kinds[kind(name, source)] += ms
        operations[f"{name} {match[2][:40]} {source[-90:]}"] += ms
    return kinds, operations


def theirs(net: str, phase: str, examples: int, size: int) -> tuple[Counter[str], Counter[str]]:
    from torch.profiler import ProfilerActivity, profile

    run = step.theirs(net, phase, examples, size, channels_last=True)
    for _ in range(3):
        run()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(STEPS):
            run()
    kinds: Counter[str] = Counter()
    operations: Counter[str] = Counter()
    for event in profiler.key_averages():
        ms = event.self_cpu_time_total / 1e3 / STEPS
        operations[event.key] += ms
        is_convolution = any(part in event.key for part in THEIR_PRODUCTS)
        is_pass = any(part in event.key for part in THEIR_PASSES)
        kinds["convolution" if is_convolution else "passes" if is_pass else "other"] += ms
    return kinds, operations


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=net_case, nargs="+", default=["resnet18:16:128"], help="NAME or NAME:BATCH:SIZE")
    parser.add_argument("--phases", nargs="+", choices=step.PHASES, default=["training"])
    parser.add_argument("--sides", nargs="+", choices=["ours", "torch"], default=["ours", "torch"])
    parser.add_argument("--longest", type=int, default=0, help="print the longest operations, too")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has torch")
    parser.add_argument("--worker", action="store_true", help="measure here, not in processes of their own")
    options = parser.parse_args(argv)
    if not options.worker and options.sides != ["ours"]:
        require(options.torch_python, "torch", ", or add --sides ours")
    for case in map(step.with_sizes, options.nets):
        net, examples, size = case.split(":")
        for phase in options.phases:
            for side in options.sides:
                if not options.worker:
                    python = sys.executable if side == "ours" else options.torch_python
                    arguments = ["--worker", "--nets", case, "--phases", phase, "--sides", side]
                    longest = ["--longest", str(options.longest)]
                    subprocess.run([python, __file__, *arguments, *longest], env=SETTINGS | os.environ, check=True)
                    continue
                kinds, operations = (ours if side == "ours" else theirs)(net, phase, int(examples), int(size))
                record: dict[str, Any] = {"benchmark": "operations", "net": net, "phase": phase, "side": side}
                record |= {"batch": int(examples), "size": int(size)}
                print(json.dumps(record | {"ms": {name: round(ms, 1) for name, ms in kinds.most_common()}} | machine()))
                for name, ms in operations.most_common(options.longest):
                    print(f"{ms:9.1f} ms  {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
