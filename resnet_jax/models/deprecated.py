"""Signatures, methods and fields of 0.1.0: they work for one more version, with a DeprecationWarning."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from resnet_jax.old_names import warn


def make_component(slot: Callable[..., Any], context: Any, features: int, strides: int, *, name: str) -> Any:
    """The module of a `Combine` or `Attend` slot; slots of 0.1.0 were called (layers, name=)."""
    parameters = inspect.signature(slot).parameters
    if "layers" not in parameters or "features" in parameters:
        return slot(context, features, strides, name=name)
    described = getattr(slot, "__name__", repr(slot))
    warn(f"{described} takes (layers, *, name); expected (context, features, strides, *, name)", stacklevel=2)
    return slot(context, name=name)


class OldContextNames:
    """Methods of `BlockContext` under the names that they had in `Layers`."""

    def strides(self: Any, strides: int) -> int:
        warn("Layers.strides is now BlockContext.effective_strides", stacklevel=2)
        return self.effective_strides(strides)

    def gap(self: Any, strides: int) -> int:
        warn("Layers.gap is now BlockContext.effective_dilation", stacklevel=2)
        return self.effective_dilation(strides)

    def pooled(self: Any, pool: Callable[..., Any], x: Any, strides: int, **options: Any) -> Any:
        warn("Layers.pooled is now BlockContext.pool", stacklevel=2)
        return self.pool(pool, x, strides, **options)


OLD_CONV_OPTIONS = frozenset({"pooled", "spread"})


def new_conv_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options of `Layers.conv` under the names that they have in `BlockContext.conv`."""
    names = {"pooled": "strides_in_pool", "spread": "dilation"}
    for old in OLD_CONV_OPTIONS & options.keys():
        warn(f"the option {old} of Layers.conv is now {names[old]}", stacklevel=3)
    return {names.get(name, name): value for name, value in options.items()}


class OldShortcutNames:
    """The field `context` of a shortcut under the name that it had."""

    @property
    def layers(self: Any) -> Any:
        warn("Shortcut.layers is now BaseShortcut.context", stacklevel=2)
        return self.context
