"""Types of the slots: what a net, a stage and a block are built from.

Every slot of a block is called `(context, features, strides, *, name)`: a Flax module whose first three fields have
these names, or a partial of one. What the module is called with differs: see each protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import flax.linen as nn

from resnet_jax.models.context import Activation, BlockContext, ConvFactory, NormFactory, Pool
from resnet_jax.models.initializers import Initializer
from resnet_jax.types import Array, Dtype

__all__ = [
    "Activation",
    "Attend",
    "Block",
    "Branch",
    "Combine",
    "ConvFactory",
    "Dtype",
    "Head",
    "Initializer",
    "NormFactory",
    "Pool",
    "RunBlock",
    "Shortcut",
    "ShortcutModule",
    "Stem",
    "StemModule",
    "StemPool",
]


class Block(Protocol):
    """A block of a stage: a module [N, *spatial, Ci] -> [N, *spatial/s, features]."""

    def __call__(self, context: BlockContext, features: int, strides: int, *, name: str) -> nn.Module: ...


class RunBlock(Protocol):
    """Runs a block: (block, x, carry) -> its output, and the carry for the next block."""

    def __call__(self, block: Any, x: Array, carry: Any) -> tuple[Array, Any]: ...


class Branch(Protocol):
    """F(x): a module [N, *spatial, Ci] -> [N, *spatial/s, features]."""

    def __call__(
        self, context: BlockContext, features: int, strides: int, *, name: str
    ) -> Callable[[Array], Array]: ...


class ShortcutModule(Protocol):
    """A module that a `Shortcut` slot makes."""

    carries_signal: ClassVar[bool]  # False: without the branch there is no signal, so it has no zero initialisation

    def __call__(self, x: Array, /) -> Array: ...

    def keeps_shape(self, x: Array) -> bool:
        """Whether x already has the output's shape, so that the shortcut may be x itself."""
        ...


class Shortcut(Protocol):
    """s: a module [N, *spatial, Ci] -> [N, *spatial/s, features], like the branch."""

    def __call__(self, context: BlockContext, features: int, strides: int, *, name: str) -> ShortcutModule: ...


class Combine(Protocol):
    """A module called (x, y, s), block input, branch output and shortcut output: y + s, for example.

    A class attribute `whole_shortcut = False` means that s alone does not carry the signal; the branch then has no
    zero initialisation.
    """

    def __call__(
        self, context: BlockContext, features: int, strides: int, *, name: str
    ) -> Callable[[Array, Array, Array], Array]: ...


class Attend(Protocol):
    """A module called with the branch's output, [N, *spatial/s, features] -> the same shape."""

    def __call__(
        self, context: BlockContext, features: int, strides: int, *, name: str
    ) -> Callable[[Array], Array]: ...


class StemPool(Protocol):
    """The pool of a stem: a module [N, *spatial, C] -> [N, *spatial/2, C]."""

    def __call__(self, context: BlockContext, *, name: str) -> Callable[[Array], Array]: ...


class StemModule(Protocol):
    """A module that a `Stem` slot makes."""

    total_strides: ClassVar[int]  # input pixels per pixel of the map that stage 1 gets

    def __call__(self, x: Array, /) -> tuple[Array, Array]: ...


class Stem(Protocol):
    """A module: images -> (the stem's feature map, the input of stage 1)."""

    def __call__(self, context: BlockContext, features: int, *, name: str) -> StemModule: ...


class Head(Protocol):
    """A module: the last feature map -> (pooled features [N, C], logits [N, num_classes])."""

    def __call__(
        self, context: BlockContext, num_classes: int, pool: str, *, name: str
    ) -> Callable[[Array], tuple[Array, Array]]: ...
