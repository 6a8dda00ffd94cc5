"""Times batch normalisation with its gradient, by XLA's sums and by sums of slices: python benchmarks/batch_norm.py

Prints one JSON line for each shape: the median milliseconds of statistics, activation (ReLU) and all gradients. For a
CPU, whose sums per channel are chosen by these times (`resnet_jax/ops/channel_sums.py`); less than a minute.
"""

from __future__ import annotations

import argparse
import json
import statistics
from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from turns import machine, seconds_of

from resnet_jax.ops import batch_norm, plain_lowering, relu
from resnet_jax.types import Array

SHAPES = (
    (16, 64, 64, 64),
    (16, 32, 32, 256),
    (16, 8, 8, 1024),
    (16, 4, 4, 2048),
    (128, 32, 32, 16),
    (64, 32, 32, 64),
    (128, 8, 8, 64),
    (64, 500, 64),
)


def gradients(x: Array, scale: Array, bias: Array, weight: Array) -> tuple[Array, ...]:
    def loss(x: Array, scale: Array, bias: Array) -> Array:
        return (relu(batch_norm(x, scale, bias, epsilon=1e-5)[0]) * weight).sum()

    return jax.grad(loss, (0, 1, 2))(x, scale, bias)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="calls that are timed")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many shapes, from the first")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    for shape in SHAPES[: options.shapes]:
        x, weight = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in range(2))
        arguments = x, jnp.ones(shape[-1]), jnp.zeros(shape[-1]), weight
        record: dict[str, object] = {"shape": shape}
        for name, context in (("library_ms", plain_lowering()), ("slices_ms", nullcontext())):
            with context:
                compiled = jax.jit(gradients).lower(*arguments).compile()
            call = partial(compiled, *arguments)
            _, *seconds = seconds_of(lambda call=call: jax.block_until_ready(call()), options.times + 1)
            record[name] = round(statistics.median(seconds) * 1e3, 3)
        print(json.dumps(record | machine() | {"jax": jax.__version__}), flush=True)


if __name__ == "__main__":
    main()
