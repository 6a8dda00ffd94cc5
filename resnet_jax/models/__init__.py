"""The registry: every net by name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax.models.heads import AttentionPoolHead
from resnet_jax.models.resnet import Outputs, ResNet, Stage
from resnet_jax.models.stems import STEMS
from resnet_jax.models.zoo import cifar, clip, efficientnet, imagenet, preact, skipnet, variants
from resnet_jax.nearest import nearest
from resnet_jax.ops import tally_macs
from resnet_jax.ops.pooling import POOLS
from resnet_jax.types import Variables

FAMILIES = (cifar, imagenet, variants, preact, clip, efficientnet, skipnet)
MODELS: dict[str, partial[ResNet]] = {name: net for family in FAMILIES for name, net in family.MODELS.items()}
REMAT = ("none", "block", "stage")
OUTPUT_STRIDES = (8, 16, 32)

__all__ = [
    "MODELS",
    "Feature",
    "Outputs",
    "ResNet",
    "Stage",
    "create_model",
    "feature_info",
    "in_order",
    "list_models",
    "pieces",
    "shapes",
]


class Feature(NamedTuple):
    channels: int
    stride: int  # input pixels per feature pixel


def list_models(pattern: str = "*") -> list[str]:
    """Registered names that match a shell pattern ("*resnet*_v1"), numbers in numeric order."""
    return sorted((name for name in MODELS if fnmatchcase(name, pattern)), key=natural)


def natural(name: str) -> list[tuple[int, str]]:
    """A sorting key that puts "stage1_block2" before "stage1_block10"."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def in_order(parts: Iterable[str]) -> list[str]:
    """Names of a net's parts from the image on: "stem", "stage1_block0", ..., "head"."""
    return sorted(parts, key=lambda name: (name == "head", name != "stem", natural(name)))


def create_model(name: str, **overrides: Any) -> nn.Module:
    """The net called `name`, with fields of `ResNet` overridden: num_classes, in_channels, dtype, drop_path, ...

    `stem` may be "imagenet", "cifar", "deep" or "halving", dtypes strings ("bfloat16"). Equal arguments give equal
    (hashable) modules.

    Raises:
      ValueError: an unknown name, or a value that no net can have. The message has the nearest valid choice.
      TypeError: an unknown override.
    """
    if name not in MODELS:
        raise ValueError(f"no model named {name!r}; {nearest(name, MODELS, 'see list_models()')}")
    kind: Any = MODELS[name].func  # ResNet, or a skeleton of its kind
    fields = [field for field in kind.__dataclass_fields__ if field not in ("parent", "name")]
    for field in overrides:
        if field not in fields:
            raise TypeError(f"{name} has no option {field!r}; {nearest(field, fields)}")
    if isinstance(stem := overrides.get("stem"), str):
        _one_of("stem", stem, STEMS)
        own = getattr(MODELS[name].keywords.get("stem"), "keywords", {})
        overrides["stem"] = partial(STEMS[stem], bare=True) if own.get("bare") else STEMS[stem]
    for field in ("dtype", "param_dtype"):
        if field in overrides:
            overrides[field] = _floating(field, overrides[field])
    if "frozen_norms" in overrides:
        frozen = overrides["frozen_norms"]
        overrides["frozen_norms"] = (frozen,) if isinstance(frozen, str) else tuple(frozen)
    model = MODELS[name](**overrides)
    _check(model)
    return model


def _one_of(field: str, value: Any, valid: Mapping[str, Any] | tuple[Any, ...]) -> None:
    if value not in valid:
        raise ValueError(f"{field}={value!r}; valid: {', '.join(map(str, valid))}")


def _floating(field: str, dtype: Any) -> Any:
    try:
        kind = jnp.dtype("object" if dtype is None else dtype)
    except TypeError:
        kind = jnp.dtype("object")
    if not jnp.issubdtype(kind, jnp.floating):
        raise ValueError(f"{field}={dtype!r}; valid: float32, bfloat16, float16, float64")
    return kind.type


def _check(model: ResNet) -> None:
    for field in ("stem", "head", "conv", "norm", "act"):
        if not callable(piece := getattr(model, field)):
            raise ValueError(f"{field}={piece!r}; wanted: a module's class, or a function (resnet_jax.models)")
    _one_of("remat", model.remat, REMAT)
    _one_of("global_pool", model.global_pool, POOLS)
    if model.global_pool != "avg" and AttentionPoolHead in pieces(model):
        raise ValueError(f"global_pool={model.global_pool!r}, but this net pools by attention; valid: avg")
    _one_of("output_stride", model.output_stride, (None, *OUTPUT_STRIDES))
    for part in model.frozen_norms:
        _one_of("frozen_norms", part, ("all", *parts(model), "head"))
    for field in ("drop_rate", "drop_path"):
        if not 0 <= (rate := getattr(model, field)) < 1:
            raise ValueError(f"{field}={rate!r}; wanted: a rate in [0, 1)")
    for field, least in (("num_classes", 0), ("in_channels", 1), ("stem_features", 1)):
        value = getattr(model, field)
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{field}={value!r}; wanted: a whole number, at least {least}")
    if model.bn_group_size is not None and (model.bn_axis is None or model.bn_group_size < 1):
        raise ValueError(f"bn_group_size={model.bn_group_size!r} is a number of devices along bn_axis; set bn_axis too")


def parts(model: nn.Module) -> tuple[str, ...]:
    """The parts of a net that have a feature map, in order: "stem", "stage1", ..."""
    return ("stem", *(f"stage{number}" for number in range(1, len(model.stages) + 1)))


def pieces(model: nn.Module) -> Iterator[Any]:
    """The classes and functions that a net's fields name, the partials taken apart: ImageNetStem, Bottleneck, ..."""
    values: list[Any] = [model.stem, model.head, model.conv, model.norm, *(stage.block for stage in model.stages)]
    while values:
        value = values.pop()
        if isinstance(value, partial):
            values += [value.func, *value.keywords.values()]
        elif callable(value):
            yield value


class Shapes(NamedTuple):
    """What a net is, with ShapeDtypeStructs for arrays."""

    outputs: Outputs  # for one image
    variables: Variables
    macs: dict[str, int]  # multiply-adds of one image, by part of a child: "stem/conv", "stage1_block0/branch", ...
    other_macs: dict[str, int]  # those that published counts leave out (see `ops.tally_macs`)


def shapes(model: nn.Module, image_size: int) -> Shapes:
    """Traces a net on one image of `image_size` pixels a side, once. Nothing is computed, and no device is used."""
    return _shapes(model, image_size, jax.dtypes.canonicalize_dtype(float))


@cache
def _shapes(model: nn.Module, image_size: int, widest: Any) -> Shapes:
    macs: tuple[dict[str, int], ...] = (defaultdict(int), defaultdict(int))
    inside: list[tuple[str, ...]] = []  # the modules that are being called

    def follow(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        inside.append(context.module.path)
        try:
            return call(*args, **kwargs)
        finally:
            inside.pop()

    def record(count: int, other: bool) -> None:
        macs[other]["/".join(inside[-1][:2])] += count

    def initialise() -> Any:
        images = jnp.zeros((1, image_size, image_size, model.in_channels), model.dtype)
        return model.init_with_output(jax.random.key(0), images, train=False)

    with nn.intercept_methods(follow), tally_macs(record):
        outputs, variables = jax.eval_shape(initialise)
    return Shapes(outputs, variables, *map(dict, macs))


def feature_info(model: nn.Module, image_size: int = 224) -> dict[str, Feature]:
    """Channels and stride of each feature map of `Outputs.features`, in order."""
    whole = -(-image_size // 32) * 32  # strides divide it, so that no map is rounded up
    features = shapes(model, whole).outputs.features
    maps = {name: features[name].shape for name in parts(model)}
    return {name: Feature(shape[-1], whole // shape[1]) for name, shape in maps.items()}
