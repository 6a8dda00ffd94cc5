"""Times lowerings of convolutions: XLA's, matrix products, narrow and row ones: python benchmarks/conv_lowering.py

Prints the fastest of several calls in milliseconds for each shape: forward, gradient of the input, gradient of the
kernel. For a CPU, whose convolutions are chosen by these times; about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.ops.conv_cpu import NARROW, narrow_conv, patch_product, row_conv
from resnet_jax.ops.conv_library import library_conv

# examples, sizes, channels in, channels out, kernel, strides
SHAPES = (
    (128, (32, 32), 16, 16, 3, 1),
    (128, (28, 28), 16, 16, 3, 1),
    (128, (16, 16), 32, 32, 3, 1),
    (128, (8, 8), 16, 16, 3, 1),
    (128, (4, 4), 32, 32, 3, 1),
    (128, (2, 2), 64, 64, 3, 1),
    (16, (2, 2), 512, 512, 3, 1),
    (16, (4, 4), 256, 256, 3, 1),
    (16, (7, 7), 512, 512, 3, 1),
    (16, (14, 14), 256, 256, 3, 1),
    (16, (28, 28), 128, 512, 1, 1),
    (16, (28, 28), 256, 512, 1, 2),
    (16, (1000,), 3, 64, 7, 2),
    (16, (250,), 64, 64, 3, 1),
    (16, (250,), 64, 128, 3, 2),
)


def lowest(function, *arguments, times: int) -> float:
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(*arguments))
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - start)
    return min(seconds) * 1e3


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="calls that are timed")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many shapes, from the first")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    print(jax.devices()[0].device_kind, "jax", jax.__version__)
    names = "".join(f"  {name:>24}" for name in ("XLA convolution", "product of patches", "narrow or row"))
    print(f"{'N':>4}{'size':>9}{'Ci':>5}{'Co':>5}{'k':>3}{'s':>3}{names}")
    for n, sizes, channels, features, k, strides in SHAPES[: options.shapes]:
        x = jnp.asarray(rng.standard_normal((n, *sizes, channels)), jnp.float32)
        kernel = jnp.asarray(rng.standard_normal((*[k] * len(sizes), channels, features)), jnp.float32)
        columns = []
        lowerings = [partial(f, strides=strides, dilation=1) for f in (library_conv, patch_product)]
        if len(sizes) == 1:
            lowerings.append(partial(row_conv, strides=strides, dilation=1, pads=[((k - 1) // 2, k // 2)]))
        elif strides == 1 and k > 1 and max(channels, features) <= NARROW:
            lowerings.append(narrow_conv)
        for f in lowerings:
            y = f(x, kernel)
            calls = (
                lambda x, kernel, y, f=f: f(x, kernel),
                lambda x, kernel, y, f=f: jax.vjp(lambda x: f(x, kernel), x)[1](y),
                lambda x, kernel, y, f=f: jax.vjp(lambda kernel: f(x, kernel), kernel)[1](y),
            )
            times = [lowest(call, x, kernel, y, times=options.times) for call in calls]
            columns.append("".join(f"{ms:8.2f}" for ms in times))
        print(
            f"{n:4}{'x'.join(map(str, sizes)):>9}{channels:5}{features:5}{k:3}{strides:3}  {'  '.join(columns)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
