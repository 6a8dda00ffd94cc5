"""Times CondConv and the ordinary convolution: python benchmarks/conditional.py

Prints the fastest of several alternate calls in milliseconds for each shape: the ordinary convolution, kernels per
example in one grouped call (as in `CondConv`), and a loop over examples. First the forward pass, then with all
gradients. For any device; about a minute on two CPU cores.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.models.layers import CondConv, Conv
from resnet_jax.ops import conv

SHAPES = ((32, 8, 16, 3), (32, 8, 64, 3), (8, 28, 128, 3), (8, 14, 256, 1))  # N, H = W, C, k
EXPERTS = 4


def lowest(functions, times: int) -> list[float]:
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(times + 1):
        for function, times_of in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(function())
            times_of.append(time.perf_counter() - start)
    return [min(times_of[1:]) * 1e3 for times_of in seconds]  # the first one compiles


def looped(variables, x):
    params = variables["params"]
    routes = jax.nn.sigmoid(x.mean((1, 2)) @ params["routing"]["kernel"] + params["routing"]["bias"][None])
    kernels = jnp.einsum("ne,ehwio->nhwio", routes, params["kernel"])
    return jnp.concatenate([conv(x[n : n + 1], kernels[n]) for n in range(x.shape[0])])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="calls that are timed")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many shapes, from the first")
    options = parser.parse_args(argv)
    print(jax.devices()[0].device_kind, "jax", jax.__version__, f"{EXPERTS} experts")
    columns = [f"{kind} {what}" for what in ("forward", "gradient") for kind in ("ordinary", "grouped", "looped")]
    print(f"{'N':>4}{'H':>5}{'C':>5}{'k':>3}" + "".join(f"{column:>20}" for column in columns))
    rng = np.random.default_rng(0)
    for n, size, channels, k in SHAPES[: options.shapes]:
        x = jnp.asarray(rng.standard_normal((n, size, size, channels)), jnp.float32)
        ordinary, conditional = Conv(channels, k), CondConv(channels, k, experts=EXPERTS)
        variables = jax.jit(conditional.init)(jax.random.key(0), x)
        plain = jax.jit(ordinary.init)(jax.random.key(0), x)
        pairs = [(ordinary.apply, plain), (conditional.apply, variables), (looped, variables)]
        forward = [jax.jit(apply) for apply, _ in pairs]
        backward = [jax.jit(jax.grad(lambda v, x, f=f: (f(v, x) ** 2).sum(), argnums=(0, 1))) for f, _ in pairs]
        calls = [
            lambda f=f, v=v, x=x: f(v, x) for fs in (forward, backward) for f, (_, v) in zip(fs, pairs, strict=True)
        ]
        print(
            f"{n:4}{size:5}{channels:5}{k:3}" + "".join(f"{ms:20.2f}" for ms in lowest(calls, options.times)),
            flush=True,
        )


if __name__ == "__main__":
    main()
