"""Times training and inference steps of our nets (NHWC) and torchvision's (channels_last) on one device.

    python benchmarks/gpu_steps.py --nets resnet50 --dtypes bfloat16 --batch-size 256

Prints one JSON line for each net, dtype, phase and implementation: the median and the lowest seconds of a step over
several rounds, in which the implementations take turns. A round queues its steps and waits for the last one, as a
training loop does. An implementation that fails (out of memory, no compiler for torch.compile) prints "error" instead
of numbers. Only ours is timed without torch and torchvision, or if JAX finds a GPU and torch does not. Takes about ten
minutes on a GPU.

A training step is the forward pass, cross-entropy, the backward pass and SGD with momentum and weight decay on random
normalised images that are on the device. Our step also computes top-1, top-5 and the norms of gradient and parameters.
bfloat16 is mixed precision with float32 parameters: `dtype` in our nets, autocast in PyTorch. float32 may use TF32 on a
GPU in both: it is XLA's default, and switched on for PyTorch.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import date
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # otherwise JAX takes the memory that PyTorch needs

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from resnet_jax import TrainState, create_model, make_train_step  # noqa: E402
from resnet_jax.training.optim import sgd  # noqa: E402

try:
    import torch
    import torchvision
except ImportError:
    torch = torchvision = None

NETS, DTYPES, PHASES = ("resnet50", "resnet18"), ("bfloat16", "float32"), ("train", "inference")
LR, MOMENTUM, DECAY = 0.1, 0.9, 1e-4
Steps = Callable[[int], None]  # runs this number of steps and waits for the last one


def our_steps(net: str, dtype: str, phase: str, images: np.ndarray, labels: np.ndarray) -> Steps:
    model, tx = create_model(net, dtype=dtype), sgd(LR, momentum=MOMENTUM, weight_decay=DECAY)
    state = TrainState.create(model, tx, jax.random.key(0), images[:1])
    batch = jax.device_put({"image": images, "label": labels.astype(np.int32)})
    if phase == "inference":
        variables, x = state.variables, batch["image"]
        forward = jax.jit(lambda variables, x: model.apply(variables, x, train=False).logits)

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


def torch_steps(compiled: bool, net: str, dtype: str, phase: str, images: np.ndarray, labels: np.ndarray) -> Steps:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    model = getattr(torchvision.models, net)().to(device, memory_format=torch.channels_last)
    x = torch.tensor(images.transpose(0, 3, 1, 2)).to(device, memory_format=torch.channels_last)
    y = torch.tensor(labels, dtype=torch.long, device=device)
    model.train(phase == "train")
    run = torch.compile(model) if compiled else model
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
            train() if phase == "train" else infer()
        if device == "cuda":
            torch.cuda.synchronize()

    return steps


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


def compare(makers: dict[str, Callable[..., Steps]], case: tuple[str, str, str], options: Any) -> list[dict[str, Any]]:
    """The numbers of each implementation, by name."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((options.batch_size, options.image_size, options.image_size, 3), np.float32)
    labels = rng.integers(0, 10, options.batch_size)
    runs: dict[str, Steps] = {}
    firsts, times = {}, {name: [] for name in makers}
    errors: dict[str, str] = {}
    for name, make in makers.items():
        try:
            steps = make(*case, images, labels)
            firsts[name] = seconds(steps, 1)
            steps(options.steps)
            runs[name] = steps
        except RuntimeError as error:  # JAX's and PyTorch's: out of memory, or what torch.compile needs is missing
            errors[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else ''}"
    for _ in range(options.rounds):
        for name, steps in runs.items():
            times[name].append(seconds(steps, options.steps))
    records = []
    for name in makers:
        if name in errors:
            records.append({"implementation": name, "error": errors[name]})
            continue
        median = statistics.median(times[name])
        records.append(
            {
                "implementation": name,
                "images_per_second": round(options.batch_size / median, 1),
                "median_seconds": round(median, 6),
                "lowest_seconds": round(min(times[name]), 6),
                "first_step_seconds": round(firsts[name], 2),
            }
        )
    return records


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=NETS)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=10, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-compile", action="store_true", help="skip torch.compile")
    options = parser.parse_args(argv)

    makers: dict[str, Callable[..., Steps]] = {"ours, NHWC": our_steps}
    if (problem := torch_problem()) is not None:
        print(f"only ours: {problem}", flush=True)
    else:
        makers["torchvision, channels_last"] = lambda *case: torch_steps(False, *case)
        if not options.no_compile:
            makers["torchvision, channels_last, torch.compile"] = lambda *case: torch_steps(True, *case)
    machine = {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "torch": getattr(torch, "__version__", None),
        "torchvision": getattr(torchvision, "__version__", None),
        "date": date.today().isoformat(),
    }
    sizes = {"batch_size": options.batch_size, "image_size": options.image_size}
    for case in ((net, dtype, phase) for net in options.nets for dtype in options.dtypes for phase in options.phases):
        for record in compare(makers, case, options):
            print(
                json.dumps(dict(zip(("net", "dtype", "phase"), case, strict=True)) | record | sizes | machine),
                flush=True,
            )
        gc.collect()
        if torch is not None:
            torch.compiler.reset()
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
