"""Times a small net of every family of the registry beside PyTorch's, on the cores of this machine.

    python benchmarks/families.py --out families.jsonl --torch-python OTHER/bin/python
    python benchmarks/families.py --families tcn vdcnn --prepare

Training (forward pass, cross-entropy, backward pass, SGD with momentum) and inference (with this package's norms
folded), in float32, at small sizes. PyTorch's nets are torchvision's, timm's or plain modules of the same layers
(torch_nets.py, torch_sequences.py); segmentation and detection are steps of dense.py. Nets of images run in PyTorch
with its own layout and with channels_last: the ratio is to the faster one.

Processes take turns, as in step.py. Each result is a JSON line, printed and added to `--out`, whose results are not
measured again: the sweep may be run a few families at a time. `--prepare` compiles alone, into the compilation cache.
CPU only; ten to thirty-five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import dense
import numpy as np
from turns import Worker, machine, require, serve, summary, take_turns

PHASES, SIDES = ("training", "inference"), ("ours", "torch", "channels_last")
LR, MOMENTUM = 1e-3, 0.9


class Case(NamedTuple):
    """A net and its batch: `shape` of an input with its channels last, or the length of a text."""

    net: str
    batch: int
    shape: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens of the vocabulary; 0: the net does not take texts."""
        return {"vdcnn9": 69, "gcnn8_char": 128}.get(self.net, 0)


SMALL, CIFAR = (64, 64, 3), (32, 32, 3)
CASES = {
    "resnet": Case("resnet18", 8, SMALL),
    "plain": Case("cifar_plain20", 32, CIFAR),
    "highway": Case("cifar_highway20", 32, CIFAR),
    "condconv": Case("cifar_condconv20", 32, CIFAR),
    "skipnet": Case("cifar_skipnet38", 32, CIFAR),
    "wide_resnet": Case("cifar_wrn16_4", 16, CIFAR),
    "resnetv2": Case("resnetv2_50", 8, SMALL),
    "bit": Case("resnetv2_50x1_bit", 8, SMALL),
    "resnet_rs": Case("resnetrs50", 8, SMALL),
    "ecanet": Case("ecaresnet50d", 8, SMALL),
    "senet": Case("seresnet18", 8, SMALL),
    "sknet": Case("skresnet18", 8, SMALL),
    "resnext": Case("resnext50_32x4d", 8, SMALL),
    "res2net": Case("res2net50_26w_4s", 8, SMALL),
    "efficientnet": Case("efficientnet_b0", 8, SMALL),
    "clip": Case("resnet50_clip", 2, (224, 224, 3)),
    "segmentation": Case("deeplabv3_resnet50", dense.IMAGES, (128, 128, 3)),
    "detection": Case("retinanet_resnet50_fpn", dense.IMAGES, (128, 128, 3)),
    "tsc_resnet": Case("tsc_resnet", 64, (500, 1)),
    "tsc_fcn": Case("tsc_fcn", 16, (250, 1)),
    "inception_time": Case("inception_time", 16, (250, 1)),
    "xresnet1d": Case("xresnet1d18", 16, (250, 1)),
    "tcn": Case("tcn", 16, (784, 1)),
    "waveform": Case("m5", 8, (16000, 1)),
    "keyword": Case("res8", 32, (101, 40, 1)),
    "speaker": Case("speaker_resnet34", 8, (200, 64, 1)),
    "quartznet": Case("quartznet5x2_small", 8, (400, 64, 1)),
    "vdcnn": Case("vdcnn9", 16, (512,)),
    "gcnn": Case("gcnn8_char", 16, (256,)),
}
DENSE = ("segmentation", "detection")
Step = tuple[Callable[[], object], dict[str, Any]]  # and what is known about it


def inputs(case: Case) -> np.ndarray:
    rng, shape = np.random.default_rng(0), (case.batch, *case.shape)
    return rng.integers(0, case.tokens, shape) if case.tokens else rng.standard_normal(shape).astype(np.float32)


def labels(shape: tuple[int, ...]) -> np.ndarray:
    """Classes for logits of this shape, at each position of a sequence."""
    return np.random.default_rng(1).integers(0, shape[-1], shape[:-1])


def ours(case: Case, phase: str) -> Step:
    import jax
    import jax.numpy as jnp
    import optax

    from resnet_jax import create_model, fold_norms

    about = {"jax": jax.__version__}
    x = jnp.asarray(inputs(case))
    model = create_model(case.net, **({} if case.tokens else {"in_channels": case.shape[-1]}))
    variables = jax.device_get(jax.jit(lambda key: model.init(key, x, train=False))(jax.random.key(0)))
    about["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    if phase == "inference":
        size: Any = case.shape if case.tokens else case.shape[:-1]
        folded, variables = fold_norms(model, variables, size)
        predict = jax.jit(lambda variables, x: folded.apply(variables, x, train=False).logits)
        variables = jax.device_put(variables)
        return lambda: predict(variables, x).block_until_ready(), about
    tx, key = optax.sgd(LR, momentum=MOMENTUM), jax.random.key(1)

    def loss(params: Any, rest: Any) -> tuple[jax.Array, Any]:
        mutable = list(rest)
        outputs, updates = model.apply(
            {"params": params, **rest}, x, train=True, mutable=mutable, rngs={"dropout": key}
        )
        classes = jnp.asarray(labels(outputs.logits.shape))
        return optax.softmax_cross_entropy_with_integer_labels(outputs.logits, classes).mean(), updates

    def step(params: Any, rest: Any, state: Any) -> tuple[Any, Any, Any]:
        gradients, updates = jax.grad(loss, has_aux=True)(params, rest)
        changes, state = tx.update(gradients, state)
        return optax.apply_updates(params, changes), updates, state

    params = jax.tree.map(jnp.array, variables.pop("params"))
    values = [(params, jax.tree.map(jnp.array, variables), tx.init(params))]
    train = jax.jit(step, donate_argnums=(0, 1, 2))

    def run() -> None:
        values[0] = jax.block_until_ready(train(*values[0]))

    return run, about


def theirs(case: Case, phase: str, *, channels_last: bool) -> Step:
    import torch
    from torch.nn.functional import cross_entropy
    from torch_nets import create
    from torch_sequences import NETS

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    arrays = inputs(case)
    x = torch.from_numpy(arrays if case.tokens else np.moveaxis(arrays, -1, 1).copy())
    model = (NETS[case.net]() if case.net in NETS else create(case.net)).train(phase == "training")
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    about = {"torch": torch.__version__, "parameters": sum(p.numel() for p in model.parameters())}

    def predict() -> torch.Tensor:
        with torch.inference_mode():
            return model(x)

    if phase == "inference":
        return predict, about
    shape = tuple(predict().shape)
    classes = torch.from_numpy(labels(shape)).flatten()
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM)

    def train() -> None:
        optimizer.zero_grad()
        cross_entropy(model(x).reshape(-1, shape[-1]), classes).backward()
        optimizer.step()

    return train, about


def dense_step(case: Case, phase: str, side: str) -> Step:
    """The step of dense.py."""
    function = dense.ours if side == "ours" else dense.torchvision
    step = function(case.net, phase, case.shape[0])
    name = "jax" if side == "ours" else "torch"
    return step, {name: sys.modules[name].__version__}


def work(side: str, family: str, phase: str) -> None:
    """One process: `serve` the step of this side."""
    case = CASES[family]
    if family in DENSE:
        step, about = dense_step(case, phase, side)
    elif side == "ours":
        step, about = ours(case, phase)
    else:
        step, about = theirs(case, phase, channels_last=side == "channels_last")
    serve(step, about=about)


def start(options: argparse.Namespace, family: str, phase: str) -> dict[str, Worker]:
    """The processes of a comparison, which prepare themselves at the same time.

    Raises:
      ValueError: the nets of both sides have different numbers of parameters.
    """
    is_image = len(CASES[family].shape) == 3
    sides = ["ours"] if options.prepare else [s for s in SIDES if s != "channels_last" or is_image]
    if family in DENSE and not options.prepare:
        sides = ["ours", "torch"]

    def process(side: str) -> Worker:
        python = sys.executable if side == "ours" else options.torch_python
        return Worker([python, Path(__file__), "--worker", side, "--families", family, "--phases", phase])

    with ThreadPoolExecutor() as threads:
        workers = dict(zip(sides, threads.map(process, sides), strict=True))
    counts = {side: worker.about.pop("parameters", None) for side, worker in workers.items()}
    if phase == "training" and len(set(counts.values())) > 1:
        raise ValueError(f"{family}: expected nets of equal numbers of parameters, got {counts}")
    return workers


def compare(options: argparse.Namespace, family: str, phase: str) -> dict[str, Any]:
    workers = start(options, family, phase)
    times = {} if options.prepare else take_turns(workers, rounds=options.rounds, steps=options.steps)
    for worker in workers.values():
        worker.close()
    case = CASES[family]
    record: dict[str, Any] = {"benchmark": "families", "family": family, "net": case.net, "phase": phase}
    record |= {"batch": case.batch, "shape": list(case.shape)}
    for worker in workers.values():
        worker.about.pop("first_seconds")
        record |= worker.about
    record |= summary(times, ours="ours")
    return record | {"rounds": options.rounds, "steps": options.steps} | machine()


def measured(out: Path | None) -> set[tuple[str, str]]:
    """Families and phases that the output file has."""
    lines = out.read_text().splitlines() if out is not None and out.is_file() else []
    return {(record["family"], record["phase"]) for record in map(json.loads, lines)}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--out", type=Path, help="file of results")
    parser.add_argument("--prepare", action="store_true", help="compile, measure nothing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps of a round")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has torch")
    parser.add_argument("--worker", choices=SIDES, help="be a process of this side")
    options = parser.parse_args(argv)
    done = set() if options.worker or options.prepare else measured(options.out)
    cases = [case for case in product(options.families, options.phases) if case not in done]
    if cases and not options.worker and not options.prepare:
        for module in ("torch", "torchvision", "timm"):
            require(options.torch_python, module, "")
    for family, phase in cases:
        if options.worker:
            work(options.worker, family, phase)
            continue
        line = json.dumps(compare(options, family, phase))
        print(line, flush=True)
        if options.out is not None and not options.prepare:
            with options.out.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
