"""Times lowerings of convolutions: XLA's, matrix products, narrow, row, depthwise: python benchmarks/conv_lowering.py

Prints the fastest of several calls in milliseconds for each shape: forward, gradient of the input, gradient of the
kernel. For a CPU, whose convolutions are chosen by these times; about three minutes on two cores.

One core of an AMD EPYC (AVX-512), 2026-11-26, jax 0.10.1, a busy machine, milliseconds of processor time of a depthwise
kernel of 33 on 16 series of 100 positions and 128 channels, forward and both gradients: XLA's 14.6 and 23.8, sums of
shifts 0.3 and 9.5, bands 0.8 and 1.5; of 400 positions and 256 channels 69 and 204, 3.9 and 183, 7.2 and 34. Bands and
shifts are equally fast at 7 elements. The gradient of quartznet5x2_small on 16 spectrograms of 200 frames takes 106 ms
with bands, 269 ms with shifts, and 4.7 s instead of 23.8 s to compile.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.ops.conv_cpu import NARROW, depthwise_bands, depthwise_sum, narrow_conv, patch_product, row_conv
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

# positions, channels, kernel of a depthwise convolution
DEPTHWISE = ((100, 128, 7), (100, 128, 9), (100, 128, 33), (100, 128, 75), (400, 256, 7), (400, 256, 33))


def lowest(function, *arguments, times: int) -> float:
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(*arguments))
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - start)
    return min(seconds) * 1e3


def timed(f, x, kernel, *, times: int) -> str:
    """Columns of milliseconds: forward, gradient of the input, gradient of the kernel."""
    y = f(x, kernel)
    calls = (
        lambda x, kernel, y: f(x, kernel),
        lambda x, kernel, y: jax.vjp(lambda x: f(x, kernel), x)[1](y),
        lambda x, kernel, y: jax.vjp(lambda kernel: f(x, kernel), kernel)[1](y),
    )
    return "".join(f"{lowest(call, x, kernel, y, times=times):8.2f}" for call in calls)


def print_depthwise(times: int, count: int) -> None:
    """The same of depthwise convolutions of 16 series."""
    rng = np.random.default_rng(0)
    names = "".join(f"  {name:>24}" for name in ("sums of shifts", "bands"))
    print(f"depthwise\n{'L':>9}{'C':>5}{'k':>5}{names}")
    for length, channels, k in DEPTHWISE[:count]:
        x = jnp.asarray(rng.standard_normal((16, length, channels)), jnp.float32)
        kernel = jnp.asarray(rng.standard_normal((k, 1, channels)), jnp.float32)
        lowerings = [
            partial(f, strides=1, dilation=1, pads=[(k // 2, k // 2)]) for f in (depthwise_sum, depthwise_bands)
        ]
        columns = [timed(f, x, kernel, times=times) for f in lowerings]
        print(f"{length:9}{channels:5}{k:5}  {'  '.join(columns)}", flush=True)


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
        lowerings = [partial(f, strides=strides, dilation=1) for f in (library_conv, patch_product)]
        if len(sizes) == 1:
            lowerings.append(partial(row_conv, strides=strides, dilation=1, pads=[((k - 1) // 2, k // 2)]))
        elif strides == 1 and k > 1 and max(channels, features) <= NARROW:
            lowerings.append(narrow_conv)
        columns = [timed(f, x, kernel, times=options.times) for f in lowerings]
        print(
            f"{n:4}{'x'.join(map(str, sizes)):>9}{channels:5}{features:5}{k:3}{strides:3}  {'  '.join(columns)}",
            flush=True,
        )
    print_depthwise(options.times, options.shapes)


if __name__ == "__main__":
    main()
