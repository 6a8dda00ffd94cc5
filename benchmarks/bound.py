"""The least time of a step whose convolutions, norms and activations run as separate kernels, on a measured device.

`kernels` lists them for a net, from the net itself; `least_seconds` adds up what each takes at least: the larger of its
arithmetic at the device's rate of matrix products and of its memory traffic at the device's bandwidth. Imported by
gpu.py, which measures both rates first (`measure_device`).

Passes over a map [N, H, W, C], each a read or a write, in the forward and in the backward pass:

- norm, training: 3 (read for the statistics; read, write) and 5 (read x and dy for two sums; read both, write dx)
- activation: 2 and 3; a shortcut's addition is a part of the kernels beside it, and not counted
- squeeze and excitation: 3 (read for the mean; read, write) and 5; max pool: its input and its output, each way
- convolution: input, kernel and output; the gradients of input and kernel are one kernel of the same traffic each

The update reads parameters, gradients and momentum and writes two of them, in float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.attention import SqueezeExcite
from resnet_jax.models.layers import BatchNorm, Conv, Dense
from resnet_jax.models.stems import MaxPool


class Kernel(NamedTuple):
    """One kernel of a batch's forward or backward pass."""

    kind: str
    is_forward: bool
    flop: float
    bytes: float


class Device(NamedTuple):
    flops: float  # a second, of large matrix products
    bandwidth: float  # bytes a second, read and written by an elementwise operation


KINDS: dict[type[nn.Module], str] = {BatchNorm: "norm", SqueezeExcite: "squeeze_excite"}
PASSES = {"norm": (3, 5), "activation": (2, 3), "squeeze_excite": (3, 5)}


def kernels(model: Any, images: Sequence[int]) -> list[Kernel]:
    """Kernels of a training step of a net on images [N, H, W, C], traced; nothing is computed."""
    listed: list[Kernel] = []
    width = jnp.dtype(model.dtype).itemsize

    def passes(kind: str, x: Any) -> None:
        for is_forward, count in zip((True, False), PASSES[kind], strict=True):
            listed.append(Kernel(kind, is_forward, 0, count * x.size * width))

    def product(kind: str, x: Any, y: Any, weights: int) -> None:
        flop, size = 2 * math.prod(y.shape[:-1]) * weights, (x.size + y.size + weights) * width
        listed.append(Kernel(kind, True, flop, size))
        listed.append(Kernel(kind, False, flop, size))  # of the kernel
        if x.shape[-1] != images[-1]:  # of the input, but not of the images
            listed.append(Kernel(kind, False, flop, size))

    def count(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        outputs, module = call(*args, **kwargs), context.module
        if context.method_name != "__call__":
            return outputs
        if isinstance(module, Conv):
            kernel = module.kernel_size ** (args[0].ndim - 2) * args[0].shape[-1] // module.groups * module.features
            product("convolution", args[0], outputs, kernel)
        elif isinstance(module, Dense):
            product("dense", args[0], outputs, args[0].shape[-1] * module.features)
        elif isinstance(module, MaxPool):
            listed.extend(Kernel("pool", one, 0, (args[0].size + outputs.size) * width) for one in (True, False))
        elif type(module) in KINDS:
            passes(KINDS[type(module)], args[0])
        return outputs

    def activation(x: Any) -> Any:
        if x.ndim == len(images):  # not of vectors
            passes("activation", x)
        return model.act(x)

    def forward(x: Any) -> Any:
        return model.clone(act=activation).init_with_output(jax.random.key(0), x, train=True)

    x = jax.ShapeDtypeStruct(tuple(images), jnp.float32)
    with nn.intercept_methods(count), ops.plain_lowering():
        _, variables = jax.eval_shape(forward, x)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    return [*listed, Kernel("update", False, 0, 5 * 4 * parameters)]


def least_seconds(listed: Sequence[Kernel], device: Device, phase: str) -> float:
    """Of a training step, or of inference, whose norms are a part of the convolutions."""
    if phase == "inference":
        listed = [kernel for kernel in listed if kernel.is_forward and kernel.kind != "norm"]
    return sum(max(kernel.flop / device.flops, kernel.bytes / device.bandwidth) for kernel in listed)


def measure_device(dtype: str, *, side: int, mib: int, rounds: int = 5) -> Device:
    """Rates of this device: a product of two matrices of `side`, and x + 1 for `mib` of numbers."""
    a = jnp.full((side, side), 0.5, dtype)
    x = jnp.zeros(mib * 2**20 // a.dtype.itemsize, dtype)
    multiply, add = jax.jit(lambda a, b: a @ b), jax.jit(lambda x: x + 1)
    return Device(
        2 * side**3 / _shortest(multiply, a, a, rounds=rounds), 2 * x.nbytes / _shortest(add, x, rounds=rounds)
    )


def _shortest(function: Callable[..., Any], *arrays: Any, rounds: int, calls: int = 10) -> float:
    """Seconds of a call, the lowest of the rounds, in which several calls are queued."""
    jax.block_until_ready(function(*arrays))
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            y = function(*arrays)
        jax.block_until_ready(y)
        seconds.append((time.perf_counter() - start) / calls)
    return min(seconds)
