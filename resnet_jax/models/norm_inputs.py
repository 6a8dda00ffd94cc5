"""Which convolutions the inputs of a net's norms come from: a trace of the net, which computes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Jaxpr, Var

from resnet_jax.models.inspect import ImageSize, example_inputs
from resnet_jax.ops import plain_lowering
from resnet_jax.types import Array, Variables

MARK = "resnet_jax.call:"  # and the number of the call: the name of its input or output in the traced program


class Call(NamedTuple):
    """A call of a norm, whose input is marked in the traced program, or of a layer, whose output is."""

    path: str
    module: Any  # of the norm or layer, unbound: its fields
    is_norm: bool


class TracedNet(NamedTuple):
    """The norms and layers of a net by their paths, and the layers that each norm normalises alone."""

    norms: dict[str, Any]
    layers: dict[str, Any]
    sources: dict[str, tuple[str, ...]]  # of these norms; the outputs of several layers are joined in the channels


def trace_norms(
    net: nn.Module,
    variables: Variables,
    image_size: ImageSize,
    *,
    norm: type[nn.Module],
    layers: Collection[type[nn.Module]],
) -> TracedNet:
    """Traces the net once at inference, and follows the inputs of its norms back to layers.

    A norm is in `sources` if all its inputs are outputs of the same layers, in the same order and each one once, and
    nothing else in the program uses an output of these.

    Args:
      norm: the class of the norms; `layers` are those of the layers. Subclasses do not count.
    """
    calls: list[Call] = []
    active: list[str] = []

    def follow(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        module: Any = context.module
        path, is_norm, is_layer = "/".join(module.path), type(module) is norm, type(module) in layers
        if context.method_name != "__call__" or not (is_norm or is_layer) or path in active:
            return call(*args, **kwargs)  # a method that calls `super().__call__` is one call
        mark = f"{MARK}{len(calls)}"
        calls.append(Call(path, module.clone(parent=None), is_norm))
        if is_norm:
            return call(checkpoint_name(args[0], mark), *args[1:], **kwargs)
        active.append(path)
        try:
            return checkpoint_name(call(*args, **kwargs), mark)
        finally:
            active.pop()

    def forward(variables: Variables, *inputs: Array) -> Any:
        return net.apply(variables, *inputs, train=False)

    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, net.param_dtype), variables)
    with nn.intercept_methods(follow), plain_lowering():
        program = jax.make_jaxpr(forward)(abstract, *example_inputs(net, image_size))
    norms, others = ({call.path: call.module for call in calls if call.is_norm is kind} for kind in (True, False))
    return TracedNet(norms, others, _sources(calls, program.jaxpr))


def _sources(calls: list[Call], program: Jaxpr) -> dict[str, tuple[str, ...]]:
    inputs: dict[str, set[tuple[str, ...] | None]] = defaultdict(set)  # of each norm's calls
    users: dict[str, set[str | None]] = defaultdict(set)  # of each layer's outputs
    for jaxpr in _programs(program):
        users_here: dict[int, str | None] = {}
        for eqn in jaxpr.eqns:
            if (number := _number(eqn)) is not None and not calls[number].is_norm:
                users_here[number] = None
        follow = _Follower(jaxpr, users_here.keys())
        for eqn in jaxpr.eqns:
            if (number := _number(eqn)) is None or not calls[number].is_norm:
                continue
            path, numbers = calls[number].path, follow(eqn.invars[0])
            inputs[path].add(None if numbers is None else tuple(calls[i].path for i in numbers))
            users_here |= dict.fromkeys(numbers or (), path)
        for number, user in users_here.items():
            users[calls[number].path].add(user)
    return {
        path: sources
        for path, (sources, *others) in inputs.items()
        if sources is not None and not others and len(set(sources)) == len(sources)
        if all(users[source] == {path} for source in sources)
    }


class _Follower:
    """Follows variables of a program back to the marked outputs of layers."""

    def __init__(self, jaxpr: Jaxpr, layers: Collection[int]) -> None:
        self._layers = layers
        self._makers = {x: eqn for eqn in jaxpr.eqns for x in eqn.outvars}
        operands = [*(x for eqn in jaxpr.eqns for x in eqn.invars), *jaxpr.outvars]
        self._uses = Counter(x for x in operands if isinstance(x, Var))

    def __call__(self, x: Any) -> tuple[int, ...] | None:
        """Numbers of the calls whose outputs, joined in the channels, are x; None: it is not that, or used twice."""
        if not isinstance(x, Var) or self._uses[x] != 1 or x not in self._makers:
            return None
        maker = self._makers[x]
        if (number := _number(maker)) is not None:
            return (number,) if number in self._layers else None
        if maker.primitive.name != "concatenate" or maker.params["dimension"] != x.aval.ndim - 1:  # type: ignore[attr-defined]
            return None
        numbers: tuple[int, ...] = ()
        for operand in maker.invars:
            if (more := self(operand)) is None:
                return None
            numbers += more
        return numbers


def _number(eqn: Any) -> int | None:
    """The number of the call that an operation marks."""
    name = eqn.params.get("name") if eqn.primitive.name == "name" else None
    return int(name.removeprefix(MARK)) if name is not None and name.startswith(MARK) else None


def _programs(program: Jaxpr) -> Iterator[Jaxpr]:
    """A program and all programs inside it."""
    yield program
    for eqn in program.eqns:
        for value in eqn.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if isinstance(inner, Jaxpr):
                    yield from _programs(inner)
