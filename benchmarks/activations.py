"""Times training steps with our activations and with those of `jax.nn`: python benchmarks/activations.py [NAME ...]

Prints the fastest of several steps of 8 images, measured alternately in one process: milliseconds, and milliseconds of
processor time, which other work on the machine affects less. For a CPU; four nets take about five minutes on two cores,
most of it compilation.

Two cores of an AMD EPYC (AVX-512), jax 0.10.2, 2026-11-26, a busy machine: processor time of a step with `jax.nn` and
with ours, resnet18 229 and 235 ms (jax 0.10.1: 252 and 256), resnet50 634 and 634 ms; no significant difference.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax import TrainState, create_model, make_train_step, ops
from resnet_jax.training.optim import sgd

IMAGES = 8
NETS = ("resnet18", "resnet50", "efficientnet_b0", "efficientnet_lite0")
OF_JAX = {ops.relu: jax.nn.relu, ops.relu6: jax.nn.relu6, ops.silu: jax.nn.silu}


def compiled_step(name: str, activation: Callable[[jax.Array], jax.Array], size: int) -> Callable[[], None]:
    model, tx = create_model(name, act=activation), sgd(0.1)
    image = jnp.asarray(np.random.default_rng(0).standard_normal((IMAGES, size, size, 3)), jnp.float32)
    batch = {"image": image, "label": jnp.arange(IMAGES)}
    state = TrainState.create(model, tx, jax.random.key(0), image[:1])
    step = jax.jit(make_train_step(model, tx, axis_name=None))
    return lambda: jax.block_until_ready(step(state, batch))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=NETS)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--times", type=int, default=20, help="steps that are timed")
    options = parser.parse_args(argv)
    print(jax.devices()[0].device_kind, "jax", jax.__version__)
    print(f"{'':20}{'jax.nn':>9}{'busy':>9}{'ours':>9}{'busy':>9}{'ratio':>8}{'busy':>8}")
    for name in options.nets:
        ours = create_model(name).act
        # The lambda hides the activation: create_model would replace one of jax.nn by ours.
        activations = (lambda x, act=OF_JAX[ours]: act(x), ours)
        steps = [compiled_step(name, act, options.image_size) for act in activations]
        times = []
        for turn in range(options.times + 1):
            for step in steps:
                start, busy = time.perf_counter(), time.process_time()
                step()
                if turn:  # the first turn compiles
                    times.append((time.perf_counter() - start, time.process_time() - busy))
        lowest = np.array(times).reshape(options.times, 2, 2).min(0)
        columns = "".join(f"{value * 1e3:9.0f}" for value in lowest.ravel())
        print(f"{name:20}{columns}" + "".join(f"{value:8.3f}" for value in lowest[1] / lowest[0]), flush=True)


if __name__ == "__main__":
    main()
