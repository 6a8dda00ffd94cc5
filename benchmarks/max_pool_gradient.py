"""Times our gradient of the max pool and XLA's: python benchmarks/max_pool_gradient.py

Prints the fastest of several alternate calls in milliseconds for each shape: forward pass, with XLA's gradient, with
ours. For any device; less than a minute on two CPU cores.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.ops import max_pool

SHAPES = ((16, 112, 112, 64), (2, 112, 112, 64), (128, 16, 16, 64), (8, 16, 16, 16))


def xla_max_pool(x: jax.Array) -> jax.Array:
    pads = ((0, 0), (1, 1), (1, 1), (0, 0))
    return lax.reduce_window(x, np.asarray(-np.inf, x.dtype), lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pads)


def both_passes(pool):
    def run(x: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, back = jax.vjp(pool, x)
        return y, back(g)[0]

    return run


def lowest(functions, *arguments, times: int) -> list[float]:
    compiled = [jax.jit(function) for function in functions]
    seconds = [[] for _ in compiled]
    for _ in range(times + 1):
        for function, times_of in zip(compiled, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            times_of.append(time.perf_counter() - start)
    return [min(times_of[1:]) * 1e3 for times_of in seconds]  # the first one compiles


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="calls that are timed")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many shapes, from the first")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    print(jax.devices()[0].device_kind, "jax", jax.__version__)
    print(f"{'N':>4}{'H':>5}{'W':>5}{'C':>4}{'forward':>10}{'XLA':>10}{'ours':>10}")
    for shape in SHAPES[: options.shapes]:
        x = jnp.asarray(rng.standard_normal(shape), jnp.float32)
        x = jnp.maximum(x, 0)  # as after the stem's relu: half of the pixels are equal
        g = jnp.asarray(rng.standard_normal(xla_max_pool(x).shape), jnp.float32)
        functions = (lambda x, g: xla_max_pool(x), both_passes(xla_max_pool), both_passes(max_pool))
        times = "".join(f"{ms:10.2f}" for ms in lowest(functions, x, g, times=options.times))
        print("{:4}{:5}{:5}{:4}".format(*shape) + times, flush=True)


if __name__ == "__main__":
    main()
