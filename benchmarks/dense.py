"""Times segmentation and detection nets beside torchvision's, on the cores of this machine.

    python benchmarks/dense.py --torch-python OTHER/bin/python

Inference and a training step (losses, gradients, SGD with momentum) of `retinanet_resnet50_fpn` on two images of 320 px
and of `deeplabv3_resnet50` on two of 256 px, in float32, with initial weights. Batch norms use running statistics in
inference and batch statistics in training. The detector's candidates are not filtered by their score, so that both
suppress as many as they can. A process of each library takes turns with the other, `--rounds` of the median of
`--steps`. Prints one JSON line for each net and phase: the medians and ranges of the rounds, the median ratio (ours /
torchvision's), machine, versions and date. CPU only; about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from turns import Worker, machine, require, serve, summary, take_turns

IMAGES, BOXES = 2, 5  # of a batch; of an image
SIZES = {"retinanet_resnet50_fpn": 320, "deeplabv3_resnet50": 256}
PHASES = ("inference", "training")
SIDES = ("ours", "torchvision")


def batch(net: str, size: int) -> dict[str, np.ndarray]:
    """Normalised images, and labels of pixels or boxes."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((IMAGES, size, size, 3)).astype(np.float32)
    if net.startswith("deeplab"):
        return {"images": images, "labels": rng.integers(0, 21, (IMAGES, size, size))}
    corners = np.sort(rng.random((IMAGES, BOXES, 2, 2)) * size, axis=2)
    corners[:, :, 1] = np.maximum(corners[:, :, 1], corners[:, :, 0] + 8)
    boxes = corners.reshape(IMAGES, BOXES, 4).astype(np.float32)
    return {"images": images, "boxes": boxes, "labels": rng.integers(1, 91, (IMAGES, BOXES))}


def ours(net: str, phase: str, size: int) -> Callable[[], object]:
    import jax
    import jax.numpy as jnp
    import optax

    from resnet_jax import create_model
    from resnet_jax.models.decoders.detector import Targets

    arrays = {name: jnp.asarray(x) for name, x in batch(net, size).items()}
    images, labels = arrays["images"], arrays["labels"]
    is_detector = "boxes" in arrays
    model = create_model(net, **({"score_thresh": 0.0} if is_detector else {}))
    variables = jax.jit(lambda key: model.init(key, images, train=False))(jax.random.key(0))
    if phase == "inference":
        predict = jax.jit(lambda variables, images: model.apply(variables, images, train=False))
        return lambda: jax.block_until_ready(predict(variables, images))

    tx, key = optax.sgd(1e-3, momentum=0.9), jax.random.key(1)

    def loss(params: Any, rest: Any) -> tuple[jax.Array, Any]:
        targets: dict[str, Any] = {}
        if is_detector:
            valid, mask = jnp.ones(labels.shape, bool), jnp.ones(IMAGES)
            targets = {"targets": Targets(arrays["boxes"], labels, valid, mask)}
        keys: dict[str, Any] = {"mutable": list(rest), "rngs": {"dropout": key}}
        outputs, updates = model.apply({"params": params, **rest}, images, train=True, **keys, **targets)
        if is_detector:
            return sum(term.total for term in outputs.losses.values()) / IMAGES, updates
        terms = [
            optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            for logits in (outputs.logits, outputs.auxiliary)
        ]
        return terms[0] + 0.5 * terms[1], updates

    def step(params: Any, rest: Any, state: Any) -> tuple[Any, Any, Any]:
        gradients, updates = jax.grad(loss, has_aux=True)(params, rest)
        changes, state = tx.update(gradients, state)
        return optax.apply_updates(params, changes), updates, state

    params = variables.pop("params")
    values = [(params, variables, tx.init(params))]
    train = jax.jit(step, donate_argnums=(0, 1, 2))

    def run() -> None:
        values[0] = jax.block_until_ready(train(*values[0]))

    return run


def torchvision(net: str, phase: str, size: int) -> Callable[[], object]:
    import torch
    from torch.nn.functional import cross_entropy
    from torchvision.models import detection, segmentation

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    arrays = {name: torch.from_numpy(x) for name, x in batch(net, size).items()}
    images, labels = arrays["images"].permute(0, 3, 1, 2).contiguous(), arrays["labels"]
    is_detector = "boxes" in arrays
    options: dict[str, Any] = {"weights": None, "weights_backbone": None}
    if is_detector:
        options |= {
            "score_thresh": 0.0,
            "min_size": size,
            "max_size": size,
            "image_mean": [0] * 3,
            "image_std": [1] * 3,
        }
        model = detection.__dict__[net](**options)
        inputs: Any = list(images)
        targets = [{"boxes": b, "labels": k} for b, k in zip(arrays["boxes"], labels, strict=True)]
    else:
        model, inputs = segmentation.__dict__[net](**options, aux_loss=True), images
    if phase == "inference":
        model.eval()

        def predict() -> None:
            with torch.inference_mode():
                model(inputs)

        return predict

    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        if is_detector:
            loss = sum(model(inputs, targets).values())
        else:
            outputs = model(inputs)
            loss = cross_entropy(outputs["out"], labels) + 0.5 * cross_entropy(outputs["aux"], labels)
        loss.backward()
        optimizer.step()

    return step


def work(side: str, net: str, phase: str, size: int) -> None:
    """One process: `serve` the step of this side."""
    step = {"ours": ours, "torchvision": torchvision}[side](net, phase, size)
    modules = ("jax", "jaxlib") if side == "ours" else ("torch", "torchvision")
    serve(step, about={name: sys.modules[name].__version__ for name in modules})


def compare(options: argparse.Namespace, net: str, phase: str) -> dict[str, Any]:
    size = options.image_size or SIZES[net]
    pythons = {"ours": sys.executable, "torchvision": options.torch_python}
    workers: dict[str, Worker] = {}
    for side in options.sides:
        asked = ["--worker", side, "--nets", net, "--phases", phase, "--image-size", size]
        workers[side] = Worker([pythons[side], __file__, *asked])
    times = take_turns(workers, rounds=options.rounds, steps=options.steps)
    record: dict[str, Any] = {"benchmark": "dense", "net": net, "phase": phase, "images": IMAGES, "image_size": size}
    for worker in workers.values():
        worker.close()
        record |= {name: version for name, version in worker.about.items() if name != "first_seconds"}
    record |= summary(times, ours="ours")
    return record | {"rounds": options.rounds, "steps": options.steps} | machine()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="whose processes run")
    parser.add_argument("--image-size", type=int, help="pixels; default: 320 for the detector, 256 for the other net")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has torchvision")
    parser.add_argument("--worker", choices=SIDES, help="be a process of this side")
    options = parser.parse_args(argv)
    if not options.worker and options.sides != ["ours"]:
        require(options.torch_python, "torchvision", ", or add --sides ours")
    for net in options.nets:
        for phase in options.phases:
            if options.worker:
                work(options.worker, net, phase, options.image_size)
            else:
                print(json.dumps(compare(options, net, phase)), flush=True)


if __name__ == "__main__":
    main()
