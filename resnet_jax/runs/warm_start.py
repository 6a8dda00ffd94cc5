"""What a run's weights are at first: those of another run or of a file, or drawn in one of several ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.checkpoints.manager import open_checkpoint
from resnet_jax.errors import AmbiguousWeights, NotFinite, WrongModel, composed, did_you_mean, listed
from resnet_jax.files import expanded
from resnet_jax.models import MODELS, registered_name, shapes
from resnet_jax.runs.directory import find_run_directory
from resnet_jax.types import Array, Preprocess, Pretrained, Variables
from resnet_jax.weights import classes_of, load_pretrained
from resnet_jax.weights.readers import WEIGHT_FILES

CLASSIFIER = ("params", "head", "dense")
PIECES = ("stages", "stem", "head", "conv", "norm", "act")  # that the same arrays would mean something else in


class Start(NamedTuple):
    """Weights to begin with; those of the classifier are left out where it is to be drawn."""

    variables: Variables
    preprocess: Preprocess  # what they were trained with
    step: int | None  # of the run; None: they are a file's
    said: str
    run: Path | None = None  # the run's directory; None: they are a file's
    meta: Mapping[str, Any] = MappingProxyType({})  # of the run's checkpoint


def start_from(
    source: str | Path,
    model: nn.Module,
    classes: Sequence[str],
    *,
    head: Literal["new", "keep"] | None = None,
    step: str | int = "latest",
    ema: bool = False,
) -> Start:
    """The weights of a run, or of a file of PyTorch's, for `model`.

    Args:
      source: a run's folder, or what `load_pretrained` reads.
      classes: that `model` is to tell apart.
      head: whether the classifier is kept; None: that of a run is, if its classes are these very ones, and no other.
        Its outputs are reordered as `classes`.
      step, ema: which of a run's weights, as for `load_checkpoint`. A file may have averaged weights, too.

    Raises:
      FileNotFoundError: there is no such run or file.
      ValueError: its arrays do not fit the net, or are of a net of other pieces; the classifier to be kept is of
        another number of classes; a step of a file; averaged weights that are not there.
    """
    if head not in (None, "new", "keep"):
        raise ValueError(f"head={head!r}; valid: new, keep")
    check_source(source)
    path, number, order, run, meta = expanded(source), None, None, None, {}
    if path.is_file():
        if step != "latest":
            raise ValueError(f"{path} is a file; steps are those of a run")
        kept = head == "keep"
        loaded, has, whose = _read_file(path, model, kept=kept, ema=ema)
    else:
        saved = open_checkpoint(path, step)
        run, meta = find_run_directory(path), saved.meta
        number, has = saved.step, len(meta["classes"])
        try:
            loaded = saved.pretrained(ema=ema)
        except NotFinite as error:
            raise ValueError(f"{error.problem}; --init.step takes another checkpoint") from None
        whose = f"step {number}, {has} classes"
        order = _order(meta["classes"], classes)
        kept = head == "keep" or (head is None and order is not None)
    if kept and has != len(classes):
        raise ValueError(f"{path} has a classifier of {has} classes, wanted: {len(classes)}; init.head=new draws one")
    found = {at: x for at, x in flatten_dict(loaded.variables).items() if kept or at[:3] != CLASSIFIER}
    if order is not None:  # the outputs follow the classes' names
        found = {at: x[..., np.array(order)] if at[:3] == CLASSIFIER else x for at, x in found.items()}
    wanted = {at: x for at, x in flatten_dict(shapes(model, model.image_size).variables).items()}
    if not kept:
        wanted = {at: x for at, x in wanted.items() if at[:3] != CLASSIFIER}
    problems = _misfits({at: x.shape for at, x in found.items()}, {at: x.shape for at, x in wanted.items()})
    if problems and path.is_dir() and loaded.name != registered_name(model):
        raise ValueError(f"{path} is a run of {loaded.name}; choose its net: --model.name {loaded.name}")
    if problems:
        raise ValueError(f"the weights of {path} ({loaded.name}) do not fit the net: {listed(problems, 3)}")
    for piece in PIECES:
        theirs, ours = (getattr(net, piece) for net in (loaded.model, model))
        if theirs != ours:
            which = f"{piece} {_named(theirs)}, here {_named(ours)}"
            raise ValueError(f"the weights of {path} ({loaded.name}) are of another net: {which}")
    mean, std = (" ".join(f"{x:.3f}" for x in values) for values in (loaded.preprocess.mean, loaded.preprocess.std))
    images = f"images of mean {mean}, deviation {std}" if mean else "images of unknown mean and deviation"
    what = f"weights of {source} ({loaded.name}, {whose}; {images})"
    report = f"{what}; {'its' if kept else 'a new'} classifier"
    return Start(unflatten_dict(found), loaded.preprocess, number, report, run, meta)


def check_source(source: str | Path) -> None:
    """Raises FileNotFoundError where there is neither a run nor a file of weights."""
    path = expanded(source)
    if path.exists():
        return
    beside = [other.name for other in path.parent.iterdir() if _is_source(other)] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, [] if str(path) in MODELS else beside, "set --init.from")
    raise FileNotFoundError(f"nothing at {str(path)!r}; expected a run or a file of weights ({WEIGHT_FILES}); {hint}")


def _is_source(path: Path) -> bool:
    return (path / "config.json").is_file() or path.suffix in (".safetensors", ".pth", ".pt", ".bin")


def _read_file(path: Path, model: nn.Module, *, kept: bool, ema: bool) -> tuple[Pretrained, int, str]:
    """The net of a file (`kept`: with its classifier), its number of classes, and a description for the report."""
    which, note = True if ema else None, ""
    try:
        has = classes_of(path, model, ema=which)
    except AmbiguousWeights:
        which, note = False, ", its raw weights (--init.ema takes the averaged ones)"
        has = classes_of(path, model, ema=which)
    try:
        loaded = load_pretrained(path, model=model, num_classes=has if kept else 0, ema=which)
    except WrongModel as error:
        hint = f"choose its net: --model.name {error.match.names[0]}"
        raise ValueError(f"{error.file} is {error.match}; {hint}") from None
    except NotFinite as error:
        raise ValueError(error.problem) from None
    return loaded, has, f"{has} classes{note}"


def _order(theirs: Sequence[str], ours: Sequence[str]) -> list[int] | None:
    """The index in `theirs` of each of `ours`; None if they are not the same classes."""
    by_name = {composed(name): place for place, name in enumerate(theirs)}
    order = [by_name.get(composed(name), -1) for name in ours]
    return order if sorted(order) == list(range(len(theirs))) else None


def _named(piece: Any) -> str:
    return getattr(piece, "__name__", None) or repr(piece)


def _misfits(actual: dict[Any, Any], expected: dict[Any, Any]) -> list[str]:
    return [
        f"{'/'.join(at)} is {list(actual[at]) if at in actual else 'not there'}, wanted: "
        f"{list(expected[at]) if at in expected else 'nothing of this name'}"
        for at in sorted(actual.keys() | expected.keys())
        if actual.get(at) != expected.get(at)
    ]


def overlaid(drawn: Variables, start: Variables) -> Variables:
    """`drawn` variables, with those of `start` in the place of theirs."""
    return unflatten_dict({**flatten_dict(drawn), **flatten_dict(start)})


def _normal(variance: Callable[[int, int], float], key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    window = math.prod(shape[:-2])
    scale = math.sqrt(variance(window * shape[-2], window * shape[-1]))
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape) * jnp.asarray(scale, dtype)


# Kernels of convolutions [k, k, Ci, Co], normal: the variance by fan_in = k * k * Ci and fan_out = k * k * Co.
KERNELS: dict[str, Callable[..., Array]] = {
    name: partial(_normal, variance)
    for name, variance in {
        "fan_out": lambda fan_in, fan_out: 2 / fan_out,  # He et al. 2015, "Delving Deep into Rectifiers", eq. 14
        "fan_in": lambda fan_in, fan_out: 2 / fan_in,  # eq. 10
        "lecun": lambda fan_in, fan_out: 1 / fan_in,  # LeCun et al. 1998, "Efficient BackProp", eq. 16
        "small": lambda fan_in, fan_out: 0.01**2,  # Krizhevsky et al. 2012, section 5
        "large": lambda fan_in, fan_out: 1.0,
    }.items()
}


def drawing(model: nn.Module, kernels: str | None) -> nn.Module:
    """The net, with its convolutions' kernels drawn as `kernels` says; those that a block draws its own way stay so."""
    return model if kernels is None else model.clone(conv=partial(model.conv, kernel_init=KERNELS[kernels]))
