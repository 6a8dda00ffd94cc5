"""What a net is made of and what it computes: shapes, multiply-adds, feature maps, components. Nothing is computed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax.models.options import check_integer, stage_names
from resnet_jax.models.registry import as_model
from resnet_jax.models.resnet import Outputs
from resnet_jax.ops import tally_macs
from resnet_jax.types import Variables


class Feature(NamedTuple):
    channels: int
    stride: int  # input pixels per feature pixel


class Shapes(NamedTuple):
    """Outputs and variables of a net as ShapeDtypeStructs, and its multiply-adds."""

    outputs: Outputs  # for one image
    variables: Variables
    macs: dict[str, int]  # multiply-adds of one image, by submodule: "stem/conv", "stage1_block0/branch", ...
    other_macs: dict[str, int]  # those that published counts ignore (see `ops.tally_macs`)


def shapes(model: nn.Module, image_size: int) -> Shapes:
    """Traces a net once on one image of `image_size` pixels a side. No array is computed, no device used."""
    return _trace(model, image_size)[0]


def components(model: nn.Module) -> frozenset[type[nn.Module]]:
    """Classes of all modules that a net calls: ImageNetStem, Residual, Bottleneck, Conv, BatchNorm, ..."""
    return _trace(model, model.image_size)[1]


def feature_names(model: nn.Module) -> tuple[str, ...]:
    """Names of the feature maps of a net, in order: "stem", "stage1", ..."""
    return stage_names(model.stages)


def feature_info(model: str | nn.Module, image_size: int = 224) -> dict[str, Feature]:
    """Channels and stride of each map of `Outputs.features`, in order, for a net or a model name.

    Raises:
      ValueError: no model of this name.
    """
    net, image_size = as_model(model), check_integer("image_size", image_size, 1)
    side = -(-image_size // 32) * 32  # divisible by the strides, so that no map is rounded up
    features = shapes(net, side).outputs.features
    sizes = {name: features[name].shape for name in feature_names(net)}
    return {name: Feature(size[-1], side // size[1]) for name, size in sizes.items()}


def _trace(model: nn.Module, image_size: int) -> tuple[Shapes, frozenset[type[nn.Module]]]:
    return _cached_trace(model, check_integer("image_size", image_size, 1), jax.dtypes.canonicalize_dtype(float))


@cache
def _cached_trace(model: nn.Module, image_size: int, widest: Any) -> tuple[Shapes, frozenset[type[nn.Module]]]:
    macs: tuple[dict[str, int], ...] = (defaultdict(int), defaultdict(int))
    classes: set[type[nn.Module]] = set()
    active: list[tuple[str, ...]] = []  # paths of the modules that are being called

    def follow(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        classes.add(type(context.module))
        active.append(context.module.path)
        try:
            return call(*args, **kwargs)
        finally:
            active.pop()

    def record(count: int, other: bool) -> None:
        macs[other]["/".join(active[-1][:2])] += count

    def initialise() -> Any:
        images = jnp.zeros((1, image_size, image_size, model.in_channels), model.dtype)
        return model.init_with_output(jax.random.key(0), images, train=False)

    with nn.intercept_methods(follow), tally_macs(record):
        outputs, variables = jax.eval_shape(initialise)
    return Shapes(outputs, variables, *map(dict, macs)), frozenset(classes)
