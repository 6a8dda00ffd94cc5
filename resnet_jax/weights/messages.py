"""Messages that several readers of weights share."""

from __future__ import annotations

from pathlib import Path

from resnet_jax.errors import listed


def not_floating(arrays: list[str]) -> str:
    """The error for arrays, "name (type)" each, that are not floating point."""
    return f"expected floating-point weights, got {listed(arrays, 3)}; quantised weights must be dequantised first"


def no_averaged_weights(path: Path) -> str:
    return f"{path.name} has no averaged weights; expected ema=None or ema=False"
