"""Choice between XLA's own operations and lowerings that one platform runs faster or more exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import jax
from jax import lax

from resnet_jax.types import Array

F = TypeVar("F", bound=Callable[..., Any])

# JAX's caches depend on the value of a user context: a function compiled outside is traced again inside.
_plain = jax.make_user_context(False)
_platform = jax.make_user_context("")


@contextmanager
def plain_lowering() -> Iterator[None]:
    """Traces XLA's own operations only, for `jax.export` and for converters of StableHLO.

    Convolutions of every kind become `stablehlo.convolution`, max pools `stablehlo.reduce_window` with XLA's gradient,
    activations `maximum` and `clamp`. Results equal those of the default lowering up to rounding, except for NaN, which
    XLA may drop in activations and maxima on a CPU. The context counts while a function is traced, not when the
    compiled function runs:

        with ops.plain_lowering():
            program = jax.export.export(jax.jit(forward))(variables, images)
    """
    with _plain(True):
        yield


def uses_plain_lowering() -> bool:
    """Whether the caller is being traced inside `plain_lowering`."""
    return bool(_plain.value)


@contextmanager
def lowering_for(platform: str) -> Iterator[None]:
    """Traces the lowerings of this platform ("cpu", "gpu", "tpu") alone, for programs that no other one will run.

    Otherwise each choice is traced for every platform and made when the program is compiled, which takes longer.
    """
    with _platform(platform):
        yield


def lowered_once(*static_argnames: str) -> Callable[[F], F]:
    """A decorator for operations: inside `lowering_for`, calls with equal shapes are traced and lowered once.

    `static_argnames` are arguments that are no arrays. XLA puts the operation in the place of every call. Programs of
    `plain_lowering` have no calls, which some converters do not follow. Where a platform is chosen when the program is
    compiled, a call would hide which one: the convolution of a gradient then stays in a conditional, where XLA takes
    sixty times as long on a CPU.
    """

    def decorate(function: F) -> F:
        compiled = jax.jit(function, static_argnames=static_argnames)

        @wraps(function)
        def call(*operands: Any, **options: Any) -> Any:
            is_called = _platform.value and not uses_plain_lowering()
            return (compiled if is_called else function)(*operands, **options)

        return cast(F, call)

    return decorate


def traced_platform() -> str:
    """The platform that programs are traced for: that of `lowering_for`, else of JAX's default devices."""
    return str(_platform.value) or jax.default_backend()


def lower(default: Callable[..., Array], cpu: Callable[..., Array] | None, *operands: Array) -> Array:
    """`cpu(*operands)` on a CPU, if there is one, else `default(*operands)`; both compute the same."""
    if cpu is None or uses_plain_lowering():
        return default(*operands)
    if platform := _platform.value:
        return (cpu if platform == "cpu" else default)(*operands)
    return lax.platform_dependent(*operands, cpu=cpu, default=default)
