"""The registry: every net by name."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax.errors import check_type, described, did_you_mean
from resnet_jax.models.options import feature_names, one_of, taken_apart, whole
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import Outputs, ResNet, Stage
from resnet_jax.models.stems import STEMS
from resnet_jax.models.zoo import cifar, clip, efficientnet, imagenet, preact, skipnet, variants
from resnet_jax.ops import tally_macs
from resnet_jax.types import Variables

FAMILIES = (cifar, imagenet, variants, preact, clip, efficientnet, skipnet)
MODELS: dict[str, Partial[ResNet]] = {name: net for family in FAMILIES for name, net in family.MODELS.items()}
FLAX = ("parent", "name")  # fields of every linen module

__all__ = [
    "MODELS",
    "Feature",
    "Outputs",
    "ResNet",
    "Stage",
    "as_model",
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
    """Registered names that match a shell pattern ("*resnet*_v1"), whatever its case; numbers in numeric order."""
    check_type(pattern, str, "a pattern of model names (str)")
    return sorted((name for name in MODELS if fnmatchcase(name.casefold(), pattern.casefold())), key=natural)


def natural(name: str) -> list[tuple[int, str]]:
    """A sorting key that puts "stage1_block2" before "stage1_block10"."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def in_order(parts: Iterable[str]) -> list[str]:
    """Names of a net's parts from the image on: "stem", "stage1_block0", ..., "head"."""
    return sorted(parts, key=lambda name: (name == "head", name != "stem", natural(name)))


def create_model(name: str | None = None, /, **overrides: Any) -> nn.Module:
    """The net called `name`, with fields of `ResNet` overridden: num_classes, in_channels, dtype, drop_path, ...

    `stem` may be "imagenet", "cifar", "deep" or "halving", dtypes strings ("bfloat16"). Equal arguments give equal
    (hashable) modules. Flax's own fields `name` and `parent` may be given too: the name of a submodule.

    `output_stride` 8 or 16 keeps the last maps finer: strides beyond it become dilations. `dilation` says what then
    becomes of the pools in branches and shortcuts (the D, T, anti-aliased, RS and Res2Net nets, CLIP's towers). "timm":
    they stay undilated, or end, so that timm's weights give timm's numbers. "resample": they are dilated too, so that
    the net computes the same features as the ordinary one, on a finer grid.

    Raises:
      ValueError: an unknown name, or a value that no net can have. The message has the nearest valid choice.
      TypeError: an unknown override.
    """
    if name is None:
        if not isinstance(name := overrides.pop("name", None), str):
            raise TypeError(f'expected a model name (str), as "resnet50", got {described(name)}; see list_models()')
        warnings.warn(
            f'create_model(name="{name}") is now create_model("{name}"): `name` is the name of a submodule',
            FutureWarning,
            stacklevel=2,
        )
    check_type(name, str, "a model name (str)", "see list_models()")
    if name not in MODELS:
        raise ValueError(
            f"no model named {name!r}; {did_you_mean(name, MODELS, 'see list_models(), or resnet-jax models')}"
        )
    kind: Any = MODELS[name].func  # ResNet, or a skeleton of its kind
    fields = [field for field in kind.__dataclass_fields__ if field not in FLAX]
    for field in overrides:
        if field == "pretrained":
            raise TypeError('nothing is downloaded: load_pretrained("FILE.safetensors") reads a file of weights')
        if field not in fields and field not in FLAX:
            raise TypeError(f"{name} has no option {field!r}; {did_you_mean(field, fields)}")
    if isinstance(stem := overrides.get("stem"), str):
        one_of("stem", stem, STEMS)
        own = getattr(MODELS[name].keywords.get("stem"), "keywords", {})
        overrides["stem"] = Partial(STEMS[stem], bare=True) if own.get("bare") else STEMS[stem]
    return MODELS[name](**overrides)


def as_model(model: str | nn.Module) -> Any:
    """The net, or that of a name.

    Raises:
      TypeError: neither a name nor a net with the fields of `ResNet`.
      ValueError: no such model.
    """
    expected = "a model name (str) or a net of create_model"
    if isinstance(model, str):
        return create_model(model)
    check_type(model, nn.Module, expected)
    if not all(hasattr(model, field) for field in ("stages", "image_size", "in_channels")):
        raise TypeError(f"expected {expected}, got {described(model)}")
    return model


def parts(model: nn.Module) -> tuple[str, ...]:
    """The parts of a net that have a feature map, in order: "stem", "stage1", ..."""
    return feature_names(model.stages)


def pieces(model: nn.Module) -> Iterator[Any]:
    """The classes and functions that a net's fields name, the partials taken apart: ImageNetStem, Bottleneck, ..."""
    return taken_apart([model.stem, model.head, model.conv, model.norm, *(stage.block for stage in model.stages)])


class Shapes(NamedTuple):
    """What a net is, with ShapeDtypeStructs for arrays."""

    outputs: Outputs  # for one image
    variables: Variables
    macs: dict[str, int]  # multiply-adds of one image, by part of a child: "stem/conv", "stage1_block0/branch", ...
    other_macs: dict[str, int]  # those that published counts leave out (see `ops.tally_macs`)


def shapes(model: nn.Module, image_size: int) -> Shapes:
    """Traces a net on one image of `image_size` pixels a side, once. Nothing is computed, and no device is used."""
    image_size = whole("image_size", image_size, 1)
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


def feature_info(model: str | nn.Module, image_size: int = 224) -> dict[str, Feature]:
    """Channels and stride of each feature map of `Outputs.features`, in order: of a net, or of a name.

    Raises:
      ValueError: no such model.
    """
    net, image_size = as_model(model), whole("image_size", image_size, 1)
    side = -(-image_size // 32) * 32  # strides divide it, so that no map is rounded up
    features = shapes(net, side).outputs.features
    maps = {name: features[name].shape for name in parts(net)}
    return {name: Feature(shape[-1], side // shape[1]) for name, shape in maps.items()}
