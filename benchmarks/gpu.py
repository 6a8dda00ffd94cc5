"""Times training and inference steps on one device beside PyTorch's, and beside the least time of separate kernels.

    python benchmarks/gpu.py                                     (all nets of the table, bfloat16)
    python benchmarks/gpu.py --nets resnet50:256:224 --phases training --sides ours

First measures the device: arithmetic of matrix products, and memory bandwidth. Then prints one JSON line for each net,
phase and side: images per second, the median and the lowest seconds of a step over several rounds in which the sides
take turns, and `share`, the least time of a step (bound.py: convolutions, norms and activations as separate kernels) by
the median. A round queues its steps and waits for the last one, as a training loop does. Sides are this package's
nets (NHWC) and torchvision's or timm's in channels_last, with and without torch.compile. A side that fails (out of
memory, no compiler) prints "error" instead of numbers. Needs jax, flax and optax; without torch, or if JAX has a GPU
and torch does not, it times this package alone. About 30 minutes on a GPU.

A training step is the forward pass, cross-entropy, the backward pass and SGD with momentum and weight decay on random
normalised images that are on the device. Ours also computes top-1, top-5 and the norms of gradient and parameters.
bfloat16 is mixed precision with float32 parameters: `dtype` in our nets, autocast in PyTorch. Inference has our norms
folded. float32 may use TF32 on a GPU in both: it is XLA's default, and switched on for PyTorch.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # otherwise JAX takes the memory that PyTorch needs

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from bound import Device, kernels, least_seconds, measure_device  # noqa: E402
from turns import machine, sized_case  # noqa: E402

from resnet_jax import TrainState, create_model, fold_norms, make_train_step  # noqa: E402
from resnet_jax.training.optim import sgd  # noqa: E402

try:
    import torch
    from torch_nets import create
except ImportError:
    torch = None

CASES = ("resnet18:256:224", "resnet50:256:224", "resnet152:128:224", "resnext50_32x4d:128:224")
CASES += ("efficientnet_b0:256:224", "cifar_resnet20:1024:32", "cifar_wrn16_4:512:32")
DTYPES, PHASES, SIDES = ("bfloat16", "float32"), ("training", "inference"), ("ours", "torch", "torch.compile")
LR, MOMENTUM, DECAY, CLASSES = 0.1, 0.9, 1e-4, 10
Steps = Callable[[int], None]  # runs this number of steps and waits for the last one


def our_steps(net: str, dtype: str, phase: str, images: np.ndarray, labels: np.ndarray) -> Steps:
    model, tx = create_model(net, dtype=dtype), sgd(LR, momentum=MOMENTUM, weight_decay=DECAY)
    state = TrainState.create(model, tx, jax.random.key(0), images[:1])
    batch = jax.device_put({"image": images, "label": labels.astype(np.int32)})
    if phase == "inference":
        folded, variables = fold_norms(model, state.variables)
        variables, x = jax.device_put(variables), batch["image"]
        forward = jax.jit(lambda variables, x: folded.apply(variables, x, train=False).logits)

        def infer(count: int) -> None:
            jax.block_until_ready([forward(variables, x) for _ in range(count)][-1])

        return infer
    step = jax.jit(make_train_step(model, tx, axis_name=None), donate_argnums=0)
    state = jax.tree.map(jnp.copy, state)  # two fields must not share a donated buffer

    def train(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state, _ = step(state, batch)
        jax.block_until_ready(state)

    return train


def torch_steps(
    net: str, dtype: str, phase: str, images: np.ndarray, labels: np.ndarray, *, is_compiled: bool
) -> Steps:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    model = create(net).to(device, memory_format=torch.channels_last)
    x = torch.tensor(images.transpose(0, 3, 1, 2)).to(device, memory_format=torch.channels_last)
    y = torch.tensor(labels, dtype=torch.long, device=device)
    model.train(phase == "training")
    run = torch.compile(model) if is_compiled else model
    mixed = torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM, weight_decay=DECAY)

    def train() -> None:
        optimizer.zero_grad()
        with mixed:
            loss = torch.nn.functional.cross_entropy(run(x), y)
        loss.backward()
        optimizer.step()

    def infer() -> None:
        with torch.no_grad(), mixed:
            run(x)

    def steps(count: int) -> None:
        for _ in range(count):
            train() if phase == "training" else infer()
        if device == "cuda":
            torch.cuda.synchronize()

    return steps


MAKERS: dict[str, Callable[..., Steps]] = {
    "ours": our_steps,
    "torch": partial(torch_steps, is_compiled=False),
    "torch.compile": partial(torch_steps, is_compiled=True),
}


def torch_problem() -> str | None:
    """Why there are no numbers of PyTorch's; None: there are."""
    if torch is None:
        return "torch or torchvision is not installed"
    if jax.default_backend() in ("gpu", "cuda", "rocm") and not torch.cuda.is_available():
        return "torch finds no GPU"
    return None


def seconds(steps: Steps, count: int) -> float:
    start = time.perf_counter()
    steps(count)
    return (time.perf_counter() - start) / count


def compare(sides: list[str], case: tuple[str, str, str], batch: int, size: int, options: Any) -> list[dict[str, Any]]:
    """The numbers of each side."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, size, size, 3), np.float32)
    labels = rng.integers(0, CLASSES, batch)
    runs: dict[str, Steps] = {}
    records: dict[str, dict[str, Any]] = {side: {} for side in sides}
    times: dict[str, list[float]] = {side: [] for side in sides}
    for side in sides:
        try:
            steps = MAKERS[side](*case, images, labels)
            records[side]["first_seconds"] = round(seconds(steps, 1), 2)
            steps(options.steps)
            runs[side] = steps
        except RuntimeError as error:  # JAX's and PyTorch's: out of memory, or what torch.compile needs is missing
            lines = str(error).strip().splitlines()
            records[side]["error"] = f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
    for _ in range(options.rounds):
        for side, steps in runs.items():
            times[side].append(seconds(steps, options.steps))
    for side in runs:
        median = statistics.median(times[side])
        records[side] |= {"images_per_second": round(batch / median, 1), "seconds": round(median, 6)}
        records[side]["seconds_range"] = [round(min(times[side]), 6), round(max(times[side]), 6)]
    return [{"side": side} | record for side, record in records.items()]


def with_bound(records: list[dict[str, Any]], least: float) -> list[dict[str, Any]]:
    """The records, with the share of the bound and, beside ours, its speed over the faster side of PyTorch's."""
    medians = {record["side"]: record["seconds"] for record in records if "seconds" in record}
    others = [value for side, value in medians.items() if side != "ours"]
    for record in records:
        if record["side"] in medians:
            record["share"] = round(least / medians[record["side"]], 3)
    if "ours" in medians and others:
        next(record for record in records if record["side"] == "ours")["speed"] = round(
            min(others) / medians["ours"], 3
        )
    return records


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=sized_case, nargs="+", default=CASES, metavar="NAME:BATCH:SIZE")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["bfloat16"])
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--steps", type=int, default=10, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--matrix", type=int, default=8192, help="side of the matrices that measure arithmetic")
    parser.add_argument("--copy-mib", type=int, default=1024, help="array that measures memory bandwidth")
    options = parser.parse_args(argv)

    sides = list(options.sides)
    if sides != ["ours"] and (problem := torch_problem()) is not None:
        print(json.dumps({"benchmark": "gpu", "sides": ["ours"], "reason": problem}), flush=True)
        sides = ["ours"]
    about = {"device": jax.devices()[0].device_kind, "jax": jax.__version__} | machine()
    if sides != ["ours"]:
        about["torch"] = torch.__version__
    for dtype in options.dtypes:
        device = measure_device(dtype, side=options.matrix, mib=options.copy_mib)
        rates = {"tflops": round(device.flops / 1e12, 3), "gb_per_second": round(device.bandwidth / 1e9, 1)}
        for net in options.nets:
            for phase in options.phases:
                for record in results(sides, net, dtype, phase, device, options):
                    print(json.dumps(record | rates | about), flush=True)


def results(sides: list[str], net: str, dtype: str, phase: str, device: Device, options: Any) -> list[dict[str, Any]]:
    name, batch, size = net.split(":")[0], *map(int, net.split(":")[1:])
    case = {"benchmark": "gpu", "net": name, "batch": batch, "size": size, "dtype": dtype, "phase": phase}
    least = least_seconds(kernels(create_model(name, dtype=dtype), (batch, size, size, 3)), device, phase)
    records = with_bound(compare(sides, (name, dtype, phase), batch, size, options), least)
    gc.collect()
    if torch is not None:
        torch.compiler.reset()
        torch.cuda.empty_cache()
    return [case | record for record in records]


if __name__ == "__main__":
    main()
