"""A `functools.partial` that compares by its parts: equal nets are equal, hash alike and survive pickling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class Partial(partial[T]):
    """`functools.partial` with equality and hash of function and arguments, where `partial` has those of the object.

    Without it a pickled or copied net differs from the original, and is compiled again as a static argument of
    `jax.jit`. Plain partials among the arguments are converted too.
    """

    def __new__(cls, func: Callable[..., T], /, *args: Any, **keywords: Any) -> Partial[T]:
        return super().__new__(cls, comparable(func), *map(comparable, args), **_values(keywords))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Partial):
            return NotImplemented
        return (self.func, self.args, self.keywords) == (other.func, other.args, other.keywords)

    def __hash__(self) -> int:
        return hash((self.func, *map(_hash, self.args), frozenset((k, _hash(v)) for k, v in self.keywords.items())))


def comparable(value: Any) -> Any:
    """`value`, a plain `functools.partial` converted to a `Partial`."""
    if isinstance(value, partial) and not isinstance(value, Partial):
        return Partial(value.func, *value.args, **value.keywords)
    return value


def _values(keywords: dict[str, Any]) -> dict[str, Any]:
    return {name: comparable(value) for name, value in keywords.items()}


def _hash(value: Any) -> int:
    """Lists and arrays are valid arguments of a partial, and have no hash: there the type alone counts."""
    try:
        return hash(value)
    except TypeError:
        return hash(type(value))
