"""What a trained SkipNet saves at inference: python benchmarks/skipping.py runs/skipnet [--batch 64]

For single test images and for batches: blocks that are run, multiply-adds of those, and milliseconds with everything
computed and with skipping, the median of each taken in turn. The numbers of both are compared. The run is one on images
that are held in memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax import data, load_checkpoint
from resnet_jax.models import shapes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=200, help="single images that are timed")
    options = parser.parse_args()
    config = json.loads((options.run / "config.json").read_text())["config"]["data"]
    test = data.load(config["name"], "test", data_dir=config["data_dir"])
    model, variables, preprocess, name = load_checkpoint(options.run, step="latest")
    images, labels = np.asarray(preprocess(test.images)), test.labels
    variables = jax.device_put(variables)
    print(jax.devices()[0].device_kind, "jax", jax.__version__, name, f"{len(images)} images of {images.shape[1:]}")

    whole = jax.jit(partial(model.apply, train=False, mutable=["gates"]))
    every = jax.jit(lambda v, x: model.apply(v, x, train=False).logits)
    skipping = model.clone(skipping=True)
    fewer = jax.jit(lambda v, x: skipping.apply(v, x, train=False).logits)
    outputs, sown = whole(variables, jnp.asarray(images))
    gates = {block: np.asarray(values["executed"][0]) for block, values in sown["gates"].items()}
    print(f"top-1 {np.mean(outputs.logits.argmax(-1) == labels):.4f}, blocks run {np.mean(list(gates.values())):.3f}")

    macs = shapes(model, images.shape[1]).macs
    total, closed = sum(macs.values()), sum((1 - gates[block].mean()) * macs[f"{block}/branch"] for block in gates)
    print(f"multiply-adds {total:,}, of which are run {total - closed:,.0f} ({1 - closed / total:.3f})")

    batches = [images[i : i + options.batch] for i in range(0, len(images) - options.batch + 1, options.batch)]
    for label, parts in (("one image", [images[i : i + 1] for i in range(options.images)]), (options.batch, batches)):
        times: dict[str, list[float]] = {"all": [], "skipping": []}
        worst = 0.0
        for part in [parts[0], *parts]:
            x, logits = jnp.asarray(part), {}
            for kind, run in (("all", every), ("skipping", fewer)):
                began = time.perf_counter()
                logits[kind] = jax.block_until_ready(run(variables, x))
                times[kind].append(time.perf_counter() - began)
            worst = max(worst, float(jnp.abs(logits["all"] - logits["skipping"]).max()))
        ms = {kind: statistics.median(seconds[1:]) * 1e3 for kind, seconds in times.items()}  # the first ones compile
        print(f"{label}: all {ms['all']:.2f} ms, skipping {ms['skipping']:.2f} ms, largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
