"""Measures what a trained SkipNet saves at inference: python benchmarks/skipping.py runs/skip [--twin cifar_resnet38]

On the run's own test images (held in memory), single ones and batches: the share of blocks and of multiply-adds that
are run, and milliseconds of three nets taken in turn, the median of each: everything computed, with skipping, and the
twin without gates (untrained: only its time counts). Fails if skipping changes a number. For any device; about a minute
on two CPU cores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from turns import one_line_errors

from resnet_jax import create_model, load_checkpoint
from resnet_jax.models import shapes
from resnet_jax.models.skipnet import SkipNet
from resnet_jax.runs.files.config_file import read_config
from resnet_jax.runs.planning.datasets import open_data


def medians(nets, parts) -> tuple[list[float], float]:
    """Milliseconds of each net, and how far the second one's logits are from the first one's."""
    seconds: list[list[float]] = [[] for _ in nets]
    worst = 0.0
    for turn, part in enumerate([parts[0], *parts]):  # the first ones compile
        x, logits = jnp.asarray(part), {}
        for i in np.roll(range(len(nets)), turn):
            apply, variables = nets[i]
            start = time.perf_counter()
            logits[i] = jax.block_until_ready(apply(variables, x))
            seconds[i].append(time.perf_counter() - start)
        worst = max(worst, float(jnp.abs(logits[0] - logits[1]).max()))
    return [statistics.median(times[1:]) * 1e3 for times in seconds], worst


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--twin", default="cifar_resnet38")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=200, help="single images that are timed")
    options = parser.parse_args(argv)
    with one_line_errors():
        model, variables, preprocess, name = load_checkpoint(options.run, step="latest")
    if not isinstance(model, SkipNet):
        raise SystemExit(f"expected a run of a SkipNet, got {name} in {options.run}, which has no gates")
    with one_line_errors():
        *_, test = open_data(read_config(options.run).data)
        (batch,) = test.eval_batches(test.num_examples)
    images, labels = np.asarray(preprocess(batch["image"])), batch["label"]
    variables = jax.device_put(variables)
    print(jax.devices()[0].device_kind, "jax", jax.__version__, name, f"{len(images)} images of {images.shape[1:]}")

    apply = jax.jit(partial(model.apply, train=False, mutable=["metrics"]))
    outputs, sown = apply(variables, jnp.asarray(images))
    gates = {block: np.asarray(sown["metrics"][f"executed/{block}"][0]) for block in model.block_names()}
    top1, executed = np.mean(outputs.logits.argmax(-1) == labels), np.mean(list(gates.values()))
    print(f"top-1 {top1:.4f}, blocks executed {executed:.3f}")
    macs = shapes(model, images.shape[1]).macs
    total, closed = sum(macs.values()), sum((1 - gates[block].mean()) * macs[f"{block}/branch"] for block in gates)
    twin = create_model(options.twin, num_classes=model.num_classes, in_channels=model.in_channels)
    others = sum(shapes(twin, images.shape[1]).macs.values())
    print(f"multiply-adds {total:,}, of which executed {total - closed:,.0f}; {options.twin}: {others:,}")

    def logits_of(net):
        return jax.jit(lambda v, x: net.apply(v, x, train=False).logits)

    fresh = jax.jit(partial(twin.init, train=False))(jax.random.key(0), jnp.asarray(images[:1]))
    nets = [(logits_of(model), variables), (logits_of(model.clone(skipping=True)), variables), (logits_of(twin), fresh)]
    batches = [images[i : i + options.batch] for i in range(0, len(images) - options.batch + 1, options.batch)]
    for label, parts in (("one image", [images[i : i + 1] for i in range(options.images)]), ("a batch", batches * 3)):
        (all_ms, skipping_ms, twin_ms), worst = medians(nets, parts)
        print(f"{label} of {len(parts[0])}: all {all_ms:.2f} ms, skipping {skipping_ms:.2f} ms, twin {twin_ms:.2f} ms")
        if worst > 1e-3 * float(jnp.abs(outputs.logits).max()):
            raise SystemExit(f"skipping changes logits by {worst}")


if __name__ == "__main__":
    main()
