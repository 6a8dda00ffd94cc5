"""Signatures, methods and fields of 0.1.0: they work for one more version, with a DeprecationWarning."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any


def make_component(slot: Callable[..., Any], context: Any, features: int, strides: int, *, name: str) -> Any:
    """The module of a `Combine` or `Attend` slot; slots of 0.1.0 were called (layers, name=)."""
    parameters = inspect.signature(slot).parameters
    if "layers" not in parameters or "features" in parameters:
        return slot(context, features, strides, name=name)
    described = getattr(slot, "__name__", repr(slot))
    _warn(f"{described} takes (layers, *, name); expected (context, features, strides, *, name)", stacklevel=3)
    return slot(context, name=name)


class OldContextNames:
    """Methods of `BlockContext` under the names that they had in `Layers`."""

    def strides(self: Any, strides: int) -> int:
        _warn("Layers.strides is now BlockContext.effective_strides", stacklevel=3)
        return self.effective_strides(strides)

    def gap(self: Any, strides: int) -> int:
        _warn("Layers.gap is now BlockContext.effective_dilation", stacklevel=3)
        return self.effective_dilation(strides)

    def pooled(self: Any, pool: Callable[..., Any], x: Any, strides: int, **options: Any) -> Any:
        _warn("Layers.pooled is now BlockContext.pool", stacklevel=3)
        return self.pool(pool, x, strides, **options)


OLD_CONV_OPTIONS = frozenset({"pooled", "spread"})


def new_conv_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options of `Layers.conv` under the names that they have in `BlockContext.conv`."""
    names = {"pooled": "strides_in_pool", "spread": "dilation"}
    for old in OLD_CONV_OPTIONS & options.keys():
        _warn(f"the option {old} of Layers.conv is now {names[old]}", stacklevel=4)
    return {names.get(name, name): value for name, value in options.items()}


class OldShortcutNames:
    """The field `context` of a shortcut under the name that it had."""

    @property
    def layers(self: Any) -> Any:
        _warn("Shortcut.layers is now BaseShortcut.context", stacklevel=3)
        return self.context


def _warn(message: str, stacklevel: int) -> None:
    warnings.warn(f"{message}; the old name goes with the next version", DeprecationWarning, stacklevel=stacklevel)
