"""Times lowerings of convolutions: XLA's, matrix products, rows, planes, depthwise: python benchmarks/conv_lowering.py

Prints a table of the lowest milliseconds of several calls for each shape (forward, gradient of the input, gradient of
the kernel). For a CPU, whose convolutions are chosen by these times; about three minutes on two cores.

Two cores of an AMD EPYC (AVX-512), 2026-11-26, jax 0.10.1, a quiet machine, milliseconds of depthwise convolutions of
16 series or images (forward, gradient of the input, gradient of the kernel):

| size, channels, kernel, strides | shifts, JAX's gradients | shifts, our gradients | bands |
|---|---|---|---|
| 100, 128, 33, 1 | 0.33, 0.93, 4.00 | 0.28, 0.19, 0.71 | 0.87, 0.65, 0.71 |
| 400, 256, 33, 1 | 1.79, 6.89, 83.2 | 1.67, 1.64, 3.21 | 3.33, 3.13, 9.81 |
| 64x64, 32, 3, 1 | 0.66, 0.91, 33.7 | 0.67, 0.53, 2.51 | |
| 32x32, 144, 3, 1 | 1.18, 0.62, 24.6 | 0.72, 0.76, 4.62 | |
| 32x32, 144, 5, 2 | 0.91, 5.72, 10.9 | 0.53, 0.60, 1.83 | |
| 16x16, 240, 5, 1 | 0.55, 2.88, 16.3 | 0.56, 0.56, 1.77 | |
| 8x8, 672, 5, 1 | 0.69, 1.94, 13.9 | 0.67, 0.68, 1.40 | |
| 4x4, 1152, 5, 1 | 0.59, 0.77, 5.43 | 0.33, 0.31, 1.23 | |

Long kernels of series take bands for the time that they take to compile: the gradient of quartznet5x2_small compiled in
4.7 s with bands and in 23.8 s with shifts and JAX's gradients.
"""

from __future__ import annotations

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from turns import seconds_of

from resnet_jax.ops.conv_cpu import (
    PRODUCT_CHANNELS,
    conv_on_larger_map,
    patch_product,
    product_conv,
    series_product_conv,
)
from resnet_jax.ops.conv_depthwise import depthwise_bands, depthwise_conv, depthwise_sum
from resnet_jax.ops.conv_library import library_conv
from resnet_jax.ops.conv_series import LONGEST, row_conv, wide_conv
from resnet_jax.ops.windows import centred

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
    (16, (8, 8), 256, 256, 3, 1),
    (16, (16, 16), 128, 128, 3, 1),
    (16, (32, 32), 64, 64, 3, 1),
    (64, (32, 32), 64, 64, 3, 1),
    (64, (16, 16), 128, 128, 3, 1),
    (128, (8, 8), 64, 64, 3, 1),
    (128, (32, 32), 3, 16, 3, 1),
    (16, (128, 128), 3, 64, 7, 2),
    (16, (16, 16), 64, 64, 5, 1),
    (64, (32, 32), 64, 128, 3, 2),
    (16, (32, 32), 64, 128, 3, 2),
    (16, (8, 8), 256, 512, 3, 2),
    (16, (28, 28), 128, 512, 1, 1),
    (16, (28, 28), 256, 512, 1, 2),
    (16, (1000,), 3, 64, 7, 2),
    (8, (16000,), 1, 128, 80, 4),
    (64, (500,), 1, 64, 8, 1),
    (16, (250,), 64, 64, 3, 1),
    (16, (250,), 64, 128, 3, 2),
    (64, (64,), 256, 256, 3, 1),
    (64, (128,), 64, 128, 3, 1),
    (16, (256,), 64, 64, 5, 1),
    (64, (24,), 32, 32, 39, 1),
    (64, (500,), 64, 64, 3, 1),
    (64, (500,), 128, 128, 5, 1),
    (64, (500,), 128, 128, 8, 1),
)

# sizes, channels, kernel, strides of a depthwise convolution: of series, and of efficientnet_b0 at 128 pixels
DEPTHWISE = (
    ((100,), 128, 7, 1),
    ((100,), 128, 9, 1),
    ((100,), 128, 33, 1),
    ((100,), 128, 75, 1),
    ((400,), 256, 7, 1),
    ((400,), 256, 33, 1),
    ((64, 64), 32, 3, 1),
    ((64, 64), 96, 3, 2),
    ((32, 32), 144, 3, 1),
    ((32, 32), 144, 5, 2),
    ((16, 16), 240, 5, 1),
    ((8, 8), 672, 5, 1),
    ((4, 4), 1152, 5, 1),
)


def lowest(function, *arguments, times: int) -> float:
    compiled = jax.jit(function)
    _, *seconds = seconds_of(lambda: jax.block_until_ready(compiled(*arguments)), times + 1)  # the first compiles
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
    """The same of depthwise convolutions of 16 series or images."""
    rng = np.random.default_rng(0)
    names = "".join(f"  {name:>24}" for name in ("shifts, JAX's gradients", "shifts, our gradients", "bands"))
    print(f"depthwise\n{'size':>9}{'C':>5}{'k':>3}{'s':>3}{names}")
    for sizes, channels, k, strides in DEPTHWISE[:count]:
        x = jnp.asarray(rng.standard_normal((16, *sizes, channels)), jnp.float32)
        kernel = jnp.asarray(rng.standard_normal((*[k] * len(sizes), 1, channels)), jnp.float32)
        options = {"strides": strides, "dilation": 1, "pads": [centred(k, 1)] * len(sizes)}
        lowerings = [depthwise_sum, depthwise_conv] + [depthwise_bands] * (len(sizes) == 1)
        columns = [timed(partial(f, **options), x, kernel, times=times) for f in lowerings]
        print(f"{'x'.join(map(str, sizes)):>9}{channels:5}{k:3}{strides:3}  {'  '.join(columns)}", flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="calls that are timed")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many shapes, from the first")
    parser.add_argument("--depthwise", type=int, default=len(DEPTHWISE), help="how many of the depthwise ones")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    print(jax.devices()[0].device_kind, "jax", jax.__version__)
    lowering_names = ("XLA convolution", "product of patches", "products or row", "wide, padded, planes")
    names = "".join(f"  {name:>24}" for name in lowering_names)
    print(f"{'N':>4}{'size':>9}{'Ci':>5}{'Co':>5}{'k':>3}{'s':>3}{names}")
    for n, sizes, channels, features, k, strides in SHAPES[: options.shapes]:
        x = jnp.asarray(rng.standard_normal((n, *sizes, channels)), jnp.float32)
        kernel = jnp.asarray(rng.standard_normal((*[k] * len(sizes), channels, features)), jnp.float32)
        lowerings = [partial(f, strides=strides, dilation=1) for f in (library_conv, patch_product)]
        if len(sizes) == 1:
            lowerings.append(partial(row_conv, strides=strides, dilation=1, pads=[((k - 1) // 2, k // 2)]))
            if k > sizes[0]:
                lowerings.append(partial(conv_on_larger_map, strides=strides, conv=lowerings[-1]))
            elif channels < PRODUCT_CHANNELS:
                lowerings.append(partial(series_product_conv, strides=strides, pads=(centred(k, 1),)))
            elif strides == 1 and 1 < k <= LONGEST:
                lowerings.append(lambda x, kernel, low=(k - 1) // 2: wide_conv(x, kernel, low))
        elif k > 1:
            lowerings.append(partial(product_conv, strides=strides, pads=[centred(k, 1)] * 2))
        columns = [timed(f, x, kernel, times=options.times) for f in lowerings]
        print(
            f"{n:4}{'x'.join(map(str, sizes)):>9}{channels:5}{features:5}{k:3}{strides:3}  {'  '.join(columns)}",
            flush=True,
        )
    print_depthwise(options.times, options.depthwise)


if __name__ == "__main__":
    main()
