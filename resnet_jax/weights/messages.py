"""Messages that several readers of weights share."""

from __future__ import annotations

from resnet_jax.errors import listed


def not_floating(arrays: list[str]) -> str:
    """The error for arrays, "name (type)" each, that are not floating point."""
    return f"expected floating-point weights, got {listed(arrays, 3)}; quantised weights must be dequantised first"
