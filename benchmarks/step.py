"""Times training and inference steps of our nets beside PyTorch's, on the cores of this machine.

    python benchmarks/step.py                                      (the eight nets of the table)
    python benchmarks/step.py --nets resnet34:16:128 --torch-python OTHER/bin/python

A net is NAME[:BATCH:SIZE], SIZE in pixels or in steps of a series. A training step is this package's own: forward pass,
cross-entropy, backward pass, SGD with momentum and weight decay, and metrics; PyTorch's is the same without metrics, on
torchvision's net, timm's, or a plain module of the same layers (torch_nets.py). Inference has this package's norms
folded (`fold_norms`). PyTorch runs twice, with its own layout and with channels_last; the ratio is to the faster one.

The processes of one net take turns, `--rounds` of `--steps` each, with the same cores and threads, and with large pages
of memory (GLIBC_TUNABLES=glibc.malloc.hugetlb=1, if the variable is not set). Each has the median of its rounds; the
ratio is the median of the rounds' ratios. Prints one JSON line for each net and phase. Float32, a CPU; about fifteen
minutes on two cores. `*_seconds` are of one step, `*_first_seconds` of the first, with compilation. PyTorch's sides
exist for nets of torchvision and timm, and for those of the table; without torch, and for other nets, add
`--sides ours`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from turns import Worker, machine, net_case, require, serve, summary, take_turns

CASES = (
    "resnet50:16:128",
    "resnet18:16:128",
    "resnext50_32x4d:8:128",
    "res2net50_26w_4s:8:128",
    "efficientnet_b0:16:128",
    "cifar_resnet20:128:32",
    "cifar_wrn16_4:64:32",
    "tsc_resnet:64:500",
)
PHASES, SIDES = ("training", "inference"), ("ours", "torch", "channels_last")
SERIES, CLASSES = ("tsc_resnet",), 5  # labels that every net of the table has
LR, MOMENTUM, DECAY = 0.01, 0.9, 1e-4


def batch(net: str, examples: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Normalised [N, size, size, 3] or [N, size, 1], and labels [N]."""
    rng = np.random.default_rng(0)
    shape = (examples, size, 1) if net in SERIES else (examples, size, size, 3)
    return rng.standard_normal(shape).astype(np.float32), rng.integers(0, CLASSES, examples)


def ours(net: str, phase: str, examples: int, size: int) -> tuple[Callable[[], object], Callable[[], str]]:
    """A step, and what gives the text of its compiled program."""
    import jax
    import jax.numpy as jnp

    from resnet_jax import TrainState, create_model, fold_norms, make_train_step
    from resnet_jax.training.optim import sgd

    x, labels = batch(net, examples, size)
    model = create_model(net, **({"num_classes": CLASSES} if net in SERIES else {}))
    tx = sgd(LR, momentum=MOMENTUM, weight_decay=DECAY)
    state = TrainState.create(model, tx, jax.random.key(0), x[:1])
    if phase == "inference":
        folded, variables = fold_norms(model, state.variables)
        variables, inputs = jax.device_put((variables, x))
        predict = jax.jit(lambda variables, x: folded.apply(variables, x, train=False).logits)
        program = predict.lower(variables, inputs)
        return lambda: predict(variables, inputs).block_until_ready(), lambda: program.compile().as_text()
    step = jax.jit(make_train_step(model, tx, axis_name=None), donate_argnums=0)
    states = [jax.tree.map(jnp.copy, state)]  # two fields must not share a donated buffer
    arrays = jax.device_put({"image": x, "label": labels.astype(np.int32)})
    program = step.lower(states[0], arrays)

    def train() -> None:
        states[0], _ = jax.block_until_ready(step(states[0], arrays))

    return train, lambda: program.compile().as_text()


def theirs(net: str, phase: str, examples: int, size: int, *, channels_last: bool) -> Callable[[], object]:
    import torch
    from torch_nets import create

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    images, classes = batch(net, examples, size)
    x, labels = torch.from_numpy(np.moveaxis(images, -1, 1).copy()), torch.from_numpy(classes)
    torch.manual_seed(0)
    model = create(net).train(phase == "training")
    if channels_last and x.ndim == 4:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM, weight_decay=DECAY)

    def train() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()

    def predict() -> None:
        with torch.inference_mode():
            model(x)

    return train if phase == "training" else predict


def work(side: str, case: Sequence[str], phase: str) -> None:
    """One process: `serve` the step of this side."""
    net, examples, size = case[0], int(case[1]), int(case[2])
    if side == "ours":
        import jax

        step, _ = ours(net, phase, examples, size)
        serve(step, about={"jax": jax.__version__, "device": jax.devices()[0].device_kind})
    else:
        import torch

        step = theirs(net, phase, examples, size, channels_last=side == "channels_last")
        serve(step, about={"torch": torch.__version__})


def compare(options: argparse.Namespace, case: str, phase: str) -> dict[str, Any]:
    net, examples, size = case.split(":")
    sides = [side for side in options.sides if side != "channels_last" or net not in SERIES]
    workers: dict[str, Worker] = {}
    for side in sides:
        python = sys.executable if side == "ours" else options.torch_python
        workers[side] = Worker([python, Path(__file__), "--worker", side, "--nets", case, "--phases", phase])
    times = take_turns(workers, rounds=options.rounds, steps=options.steps)
    record: dict[str, Any] = {
        "benchmark": "step",
        "net": net,
        "phase": phase,
        "batch": int(examples),
        "size": int(size),
    }
    for side, worker in workers.items():
        worker.close()
        record |= worker.about | {f"{side}_first_seconds": worker.about["first_seconds"]}
    del record["first_seconds"]
    record |= summary(times, ours="ours")
    return record | {"rounds": options.rounds, "steps": options.steps} | machine()


def with_sizes(net: str) -> str:
    """NAME:BATCH:SIZE of NAME, with the table's or usual sizes."""
    if net.count(":") == 2:
        return net
    usual = f"{net}:128" if ":" in net else f"{net}:16:128"
    return next((case for case in CASES if case.split(":")[0] == net), usual)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=net_case, nargs="+", default=list(CASES), help="NAME or NAME:BATCH:SIZE")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="whose processes run")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="steps of a round")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has torch")
    parser.add_argument("--worker", choices=SIDES, help="be a process of this side")
    options = parser.parse_args(argv)
    if not options.worker and options.sides != ["ours"]:
        require(options.torch_python, "torch", ", or add --sides ours")
    for case in map(with_sizes, options.nets):
        for phase in options.phases:
            if options.worker:
                work(options.worker, case.split(":"), phase)
            else:
                print(json.dumps(compare(options, case, phase)), flush=True)


if __name__ == "__main__":
    main()
