"""Times one training step on the devices of this machine.

    python benchmarks/step_time.py --model resnet50 --image-size 224 --batch-size 256 --dtype bfloat16

Prints one JSON object: the device, the first call (with compilation), and the median, lowest and highest step in
seconds, each measured until it ends. The images are random. For any device; less than a minute on a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import date

import jax
import numpy as np

from resnet_jax import TrainState, create_model, make_train_step
from resnet_jax.data import make_augment
from resnet_jax.distributed.devices import MODES, Parallel
from resnet_jax.training.optim import sgd
from resnet_jax.types import Preprocess


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--parallel", choices=MODES, default="pmap")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args(argv)

    model, tx = create_model(options.model, dtype=options.dtype), sgd(0.1, weight_decay=1e-4)
    augment = make_augment(Preprocess(options.image_size, options.image_size, (0.5,) * 3, (0.25,) * 3))
    parallel = Parallel(options.parallel)
    step = parallel.map(make_train_step(model, tx, augment=augment), donate_state=True)
    rng = np.random.default_rng(0)
    shape = (options.batch_size, options.image_size, options.image_size, 3)
    images = rng.integers(0, 256, shape, np.uint8)
    labels = rng.integers(0, model.num_classes, options.batch_size).astype(np.int32)
    batch = parallel.shard({"image": images, "label": labels})
    state = parallel.replicate(TrainState.create(model, tx, jax.random.key(0), images[:1]))

    seconds = []
    for _ in range(options.steps + 1):
        start = time.perf_counter()
        state, _ = step(state, batch)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - start)
    first, *steps = seconds
    median = statistics.median(steps)
    record = vars(options) | {
        "device": f"{len(parallel.devices)} x {parallel.devices[0].device_kind}",
        "jax": jax.__version__,
        "date": date.today().isoformat(),
        "first_call_seconds": round(first, 2),
        "median_seconds": round(median, 5),
        "lowest_seconds": round(min(steps), 5),
        "highest_seconds": round(max(steps), 5),
        "images_per_second": round(options.batch_size / median, 1),
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
