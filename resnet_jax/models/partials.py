"""Partials and functions that compare by value: equal nets are equal, hash alike and survive pickling."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeVar

import jax

from resnet_jax import ops

T = TypeVar("T")

# Those of jax.nn lose NaN in compiled code on a CPU: see ops/activations.py.
ACTIVATIONS = {jax.nn.relu: ops.relu, jax.nn.relu6: ops.relu6, jax.nn.silu: ops.silu}
PICKLED_BY_NAME = (type, FunctionType, BuiltinFunctionType)


class Partial(partial[T]):
    """`functools.partial` that compares and hashes by its function and arguments instead of by identity.

    Without it a pickled or copied net would differ from the original, and be compiled again as a static argument of
    `jax.jit`. Plain partials among the arguments are converted too.

    Keyword arguments, and attributes of the function, read as attributes: `Partial(Conv, same=True).same` is True.
    """

    def __new__(cls, func: Callable[..., T], /, *args: Any, **keywords: Any) -> Partial[T]:
        return super().__new__(cls, comparable(func), *map(comparable, args), **_values(keywords))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.keywords[name] if name in self.keywords else getattr(self.func, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Partial):
            return NotImplemented
        return (self.func, self.args, self.keywords) == (other.func, other.args, other.keywords)

    def __hash__(self) -> int:
        return hash((self.func, *map(_hash, self.args), frozenset((k, _hash(v)) for k, v in self.keywords.items())))


@dataclass(frozen=True)
class NamedFunction:
    """A function by module and name: results of `jax.jit` and `jax.custom_jvp` cannot be pickled or copied."""

    module: str
    name: str

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return getattr(import_module(self.module), self.name)(*args, **keywords)


def comparable(value: Any) -> Any:
    """`value`, or its replacement that compares by value: a `Partial`, an activation of `ops`, a `NamedFunction`."""
    if isinstance(value, partial):
        return value if isinstance(value, Partial) else Partial(value.func, *value.args, **value.keywords)
    if not callable(value) or not isinstance(value, Hashable) or isinstance(value, PICKLED_BY_NAME):
        return value
    if value in ACTIVATIONS:
        return ACTIVATIONS[value]
    name = getattr(value, "__name__", None)
    for module in ("jax.nn", getattr(value, "__module__", None)):
        if name and module and getattr(sys.modules.get(module), name, None) is value:
            return NamedFunction(module, name)
    return value


def _values(keywords: dict[str, Any]) -> dict[str, Any]:
    return {name: comparable(value) for name, value in keywords.items()}


def _hash(value: Any) -> int:
    """Hash of an argument; lists and arrays, which have none, hash by type."""
    try:
        return hash(value)
    except TypeError:
        return hash(type(value))
