"""Memory of a training step beside PyTorch's, and what `remat` saves and costs.

    python benchmarks/memory.py --nets resnet50:16:128 --torch-python OTHER/bin/python

A net is NAME:BATCH:SIZE. Each side is a process: this package's step with `remat` "none", "block" and "stage", and
PyTorch's in both layouts. One JSON line for each of them:

- `peak_mib`: the highest resident memory of the process in three steps, minus that of the process with its libraries
  and its compiled program, but without parameters and batch. It has parameters, momentum, activations, scratch space
- `xla_temporary_mib`, `xla_arguments_mib`, `xla_reused_mib`: from the compiled program: its scratch space, what it is
  passed, and which part of that the results take over (the donated state)
- `saved_mib`: arrays that the forward pass saves for the backward pass, without the parameters, before XLA
- `gflop`: arithmetic of a step, before XLA; with `remat` the forward pass counts again
- `seconds`: a step, the median of rounds in which the processes take turns, and its range

On a CPU, XLA merges what `remat` computes again with what was computed first, so that little changes there but
`saved_mib` and `gflop`, which are from before XLA.
Linux; about ten minutes on two CPU cores, most of it compilation. Without torch: --sides none block stage.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import step
from turns import Worker, machine, require, serve, sized_case, take_turns

CASES = ("resnet50:16:128", "resnet50:16:224")
REMAT, TORCH = ("none", "block", "stage"), ("torch", "channels_last")
MIB = 2**20


def resident(field: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (the highest since `forget_peak`)."""
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def forget_peak() -> None:
    """Returns free memory to the system, and starts a new highest value."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def mib(size: float) -> float:
    return round(size / MIB, 1)


def peak_of(run: Callable[[], object], baseline: int) -> float:
    forget_peak()
    for _ in range(3):
        run()
    return mib(resident("VmHWM") - baseline)


def ours(net: str, examples: int, size: int, remat: str) -> tuple[Callable[[], object], dict[str, Any]]:
    import jax

    from resnet_jax import TrainState, create_model, make_train_step
    from resnet_jax.training.optim import sgd

    model = create_model(net, remat=remat)
    tx = sgd(step.LR, momentum=step.MOMENTUM, weight_decay=step.DECAY)
    images, labels = step.batch(net, examples, size)
    batch = {"image": images, "label": labels.astype(np.int32)}
    shapes = jax.eval_shape(lambda key, x: TrainState.create(model, tx, key, x), jax.random.key(0), images[:1])
    lowered = jax.jit(make_train_step(model, tx, axis_name=None), donate_argnums=0).lower(shapes, batch)
    compiled = lowered.compile()
    memory = compiled.memory_analysis()
    about = {
        "jax": jax.__version__,
        "xla_temporary_mib": mib(memory.temp_size_in_bytes),
        "xla_arguments_mib": mib(memory.argument_size_in_bytes),
        "xla_reused_mib": mib(memory.alias_size_in_bytes),
        "saved_mib": mib(saved_bytes(model, shapes, batch["image"])),
        "gflop": round(lowered.cost_analysis()["flops"] / 1e9, 1),
    }
    jax.clear_caches()
    forget_peak()
    baseline = resident("VmRSS")
    states = [jax.tree.map(values, shapes)]
    batch = jax.device_put(batch)

    def train() -> None:
        states[0], _ = jax.block_until_ready(compiled(states[0], batch))

    return train, {"peak_mib": peak_of(train, baseline)} | about


def values(shape: Any) -> Any:
    """Small random numbers, a counter's 0 or a key."""
    import jax

    if jax.dtypes.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    if not np.issubdtype(shape.dtype, np.floating):
        return jax.device_put(np.zeros(shape.shape, shape.dtype))
    return jax.device_put(0.05 * np.random.default_rng(0).random(shape.shape, shape.dtype))


def saved_bytes(model: Any, state: Any, images: np.ndarray) -> int:
    """Bytes that the forward pass saves: what `jax.vjp` returns for the backward pass, without the parameters."""
    import jax

    from resnet_jax.ops import plain_lowering

    def pull_back(params: Any, batch_stats: Any, x: Any) -> Any:
        def forward(params: Any) -> Any:
            outputs, _ = model.apply(
                {"params": params, "batch_stats": batch_stats}, x, train=True, mutable=["batch_stats"]
            )
            return outputs.logits

        return jax.vjp(forward, params)[1]

    with plain_lowering():
        saved = jax.tree.leaves(jax.eval_shape(pull_back, state.params, state.batch_stats, images))
    # Maps, and what has a number for each example; the rest are parameters and statistics.
    return sum(x.size * x.dtype.itemsize for x in saved if x.ndim > 1 and x.shape[0] == len(images))


def theirs(net: str, examples: int, size: int, side: str) -> tuple[Callable[[], object], dict[str, Any]]:
    small = step.theirs("resnet18", "training", 2, 32, channels_last=side == "channels_last")
    small()  # libraries, threads
    del small
    forget_peak()
    baseline = resident("VmRSS")
    import torch

    train = step.theirs(net, "training", examples, size, channels_last=side == "channels_last")
    return train, {"peak_mib": peak_of(train, baseline), "torch": torch.__version__}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=sized_case, nargs="+", default=list(CASES), metavar="NAME:BATCH:SIZE")
    parser.add_argument("--sides", nargs="+", choices=REMAT + TORCH, default=REMAT + TORCH)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1, help="steps of a round")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has torch")
    parser.add_argument("--worker", action="store_true", help="be the process of the one side")
    options = parser.parse_args(argv)
    if not options.worker and set(options.sides) & set(TORCH):
        require(options.torch_python, "torch", ", or add --sides none block stage")
    for case in options.nets:
        net, examples, size = case.split(":")
        if options.worker:
            (side,) = options.sides
            make = ours if side in REMAT else theirs
            run, about = make(net, int(examples), int(size), side)
            serve(run, about=about)
            continue
        pythons = {side: sys.executable if side in REMAT else options.torch_python for side in options.sides}
        workers = {
            side: Worker([python, __file__, "--worker", "--nets", case, "--sides", side])
            for side, python in pythons.items()
        }
        times = take_turns(workers, rounds=options.rounds, steps=options.steps)
        for side, worker in workers.items():
            worker.close()
            about = {name: value for name, value in worker.about.items() if name != "first_seconds"}
            record = {"benchmark": "memory", "net": net, "batch": int(examples), "size": int(size)}
            record["side"] = f"ours, remat {side}" if side in REMAT else side
            seconds = {"seconds": round(statistics.median(times[side]), 4)}
            seconds["seconds_range"] = [round(min(times[side]), 4), round(max(times[side]), 4)]
            print(json.dumps(record | about | seconds | machine()), flush=True)


if __name__ == "__main__":
    main()
