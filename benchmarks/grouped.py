"""Times nets with grouped convolutions, ours and PyTorch's: python benchmarks/grouped.py [NAME ...]

Prints the fastest of several alternate forward and backward passes of 8 images on two threads: seconds, and seconds of
processor time, which other work on the machine affects less. Without torch and timm, only ours. For a CPU; about a
minute for each net on two cores, most of it compilation.

Two cores of an AMD EPYC (AVX-512), 2026-11-26, jax 0.10.2, torch 2.14.1, a busy machine: processor
seconds of ours and of PyTorch's, resnext50_32x4d 0.70 and 0.56, seresnext50_32x4d 0.69 and 0.59, res2next50 0.65 and
0.62, skresnext50_32x4d 0.91 and 0.83, resnext101_64x4d 2.38 and 1.75, resnext101_32x8d 2.49 and 1.79. With XLA's own
gradient resnext50_32x4d took 34.8 s on a quiet machine, PyTorch 1.0. Compiling it takes 20 s of processor time.

On the same machine when quiet, seconds of ours and of PyTorch's: resnext50_32x4d 0.36 and 0.34, seresnext50_32x4d 0.39
and 0.41, resnext50d_32x4d 0.39 and 0.33.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax import create_model, list_models
from resnet_jax.tasks.losses import cross_entropy

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # otherwise PyTorch's idle threads take processor time from ours
try:
    import timm
    import torch
except ImportError:
    timm = torch = None

IMAGES, THREADS = 8, 2


def our_step(name: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    model = create_model(name)
    x, y = jnp.asarray(images), jnp.asarray(labels)
    variables = jax.jit(lambda key: model.init(key, x[:1], train=False))(jax.random.key(0))

    @jax.jit
    def gradient(variables):
        def loss(params):
            outputs, updated = model.apply(variables | {"params": params}, x, train=True, mutable=["batch_stats"])
            return cross_entropy(outputs.logits, y).mean(), updated

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    return lambda: jax.block_until_ready(gradient(variables))


def torch_step(name: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    torch.set_num_threads(THREADS)
    model = timm.create_model(name).train().to(memory_format=torch.channels_last)
    x = torch.tensor(images.transpose(0, 3, 1, 2)).to(memory_format=torch.channels_last)
    y = torch.tensor(labels, dtype=torch.long)

    def step() -> None:
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()

    return step


def measure(step: Callable[[], None]) -> tuple[float, float]:
    """Seconds and seconds of processor time of one call."""
    start, busy = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - start, time.process_time() - busy


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=list_models("*next*"))
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--times", type=int, default=5, help="passes that are timed")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((IMAGES, options.image_size, options.image_size, 3), np.float32)
    labels = rng.integers(0, 1000, IMAGES)
    print(jax.devices()[0].device_kind, "jax", jax.__version__, "torch", getattr(torch, "__version__", None))
    print(f"{'':22}{'first call':>11}{'ours':>7}{'busy':>7}{'torch':>7}{'busy':>7}{'ratio':>7}{'busy':>7}")
    for name in options.nets:
        steps = [our_step(name, images, labels)] + ([torch_step(name, images, labels)] if torch else [])
        first, _ = [measure(step) for step in steps][0]
        times = np.min([[measure(step) for step in steps] for _ in range(options.times)], axis=0)
        columns = [*times.ravel(), *(times[0] / times[1] if torch else ())]
        print(f"{name:22}{first:11.1f}" + "".join(f"{value:7.2f}" for value in columns), flush=True)


if __name__ == "__main__":
    main()
