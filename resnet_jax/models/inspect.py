"""Traces a net for its shapes, multiply-adds, feature maps and components; computes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from resnet_jax.models.options import check_integer, stage_names
from resnet_jax.models.registry import as_model
from resnet_jax.models.resnet import Outputs
from resnet_jax.ops import LAYOUTS, plain_lowering, tally_macs
from resnet_jax.types import Array, Variables

ImageSize = int | Sequence[int]  # pixels a side of a square image, or the size along each spatial axis


class Feature(NamedTuple):
    channels: int
    stride: int  # input pixels per feature pixel, along each spatial axis


class Shapes(NamedTuple):
    """Outputs and variables of a net as ShapeDtypeStructs, and its multiply-adds."""

    outputs: Outputs  # for one input
    variables: Variables
    macs: dict[str, int]  # multiply-adds for one input, by submodule: "stem/conv", "stage1_block0/branch", ...
    other_macs: dict[str, int]  # those that published counts ignore (see `ops.tally_macs`)


def shapes(model: nn.Module, image_size: ImageSize) -> Shapes:
    """Traces a net once on one input. No array is computed, no device used.

    A net with a class attribute `takes_tokens = True` gets tokens, int32 [1, L]; one with `takes_texts = True` an image
    and tokens int32 [1, context_length].

    Args:
      image_size: 224 is an image [1, 224, 224, C]; (4096,) a series [1, 4096, C], (16, 112, 112) a volume.

    Raises:
      ValueError: a size below 1, or of more than three axes.
    """
    return _trace(model, image_size)[0]


def differing_arrays(model: Any, variables: Variables) -> list[str]:
    """Paths of the arrays that a net and `variables` do not share in the same shape: "params/stem/conv/kernel"."""
    net = model.clone(dtype=jnp.float32, param_dtype=jnp.float32)  # tracing float64 asks for x64
    expected, actual = (
        {path: tuple(x.shape) for path, x in flatten_dict(dict(tree), sep="/").items()}
        for tree in (shapes(net, net.image_size).variables, variables)
    )
    return sorted(path for path in expected.keys() | actual.keys() if expected.get(path) != actual.get(path))


def components(model: nn.Module) -> frozenset[type[nn.Module]]:
    """Classes of all modules that a net calls: ImageNetStem, Residual, Bottleneck, Conv, BatchNorm, ..."""
    sizes = [-(-side // 32) * 32 for side in spatial_sizes(model.image_size)]
    return _trace(model, sizes)[1]  # any size has them; `feature_info` traces this one


def feature_names(model: nn.Module) -> tuple[str, ...]:
    """Names of the feature maps of a net, in order: "stem", "stage1", ..."""
    return stage_names(model.stages)


def feature_info(model: str | nn.Module, image_size: ImageSize = 224) -> dict[str, Feature]:
    """Channels and stride of each map of `Outputs.features`, in order, for a net or a model name.

    For a segmenter or detector they are those of its backbone. Both are the same for every `image_size`, which has the
    meaning that it has in `shapes`.

    Raises:
      ValueError: no model of this name, or a size that no input can have.
    """
    net = backbone_of(as_model(model))
    sides = [-(-side // 32) * 32 for side in spatial_sizes(image_size)]  # multiples of the strides
    features = shapes(net, sides).outputs.features
    sizes = {name: features[name].shape for name in feature_names(net)}
    return {name: Feature(size[-1], sides[0] // size[1]) for name, size in sizes.items()}


def is_dense(model: nn.Module) -> bool:
    """Whether a net has predictions for places of the image: a segmenter or a detector."""
    return hasattr(model, "backbone")


def has_texts(model: nn.Module) -> bool:
    """Whether a net takes texts beside images: CLIP."""
    return getattr(model, "takes_texts", False)


def backbone_of(model: nn.Module) -> Any:
    """The net that makes the feature maps: a backbone, CLIP's image tower, or the net itself if it has neither."""
    return getattr(model, "backbone", getattr(model, "image_tower", model))


def spatial_sizes(image_size: ImageSize) -> tuple[int, ...]:
    """The size along each spatial axis: 224 -> (224, 224), (4096,) -> (4096,).

    Raises:
      ValueError: a size below 1, or of no axis or more than three.
    """
    if isinstance(image_size, str) or not isinstance(image_size, Sequence):
        return (check_integer("image_size", image_size, 1),) * 2
    if not 1 <= len(image_size) <= len(LAYOUTS):
        raise ValueError(f"image_size: expected one to {len(LAYOUTS)} spatial axes, got {tuple(image_size)}")
    return tuple(check_integer("image_size", side, 1) for side in image_size)


def example_inputs(model: Any, image_size: ImageSize) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and types of a net's inputs of one example; `image_size` as in `shapes`."""
    sizes = spatial_sizes(image_size)
    if getattr(model, "takes_tokens", False):
        return (jax.ShapeDtypeStruct((1, *sizes), jnp.int32),)
    images = jax.ShapeDtypeStruct((1, *sizes, model.in_channels), model.dtype)
    if not has_texts(model):
        return (images,)
    return images, jax.ShapeDtypeStruct((1, model.context_length), jnp.int32)


def _trace(model: nn.Module, image_size: ImageSize) -> tuple[Shapes, frozenset[type[nn.Module]]]:
    return _cached_trace(model, spatial_sizes(image_size), jax.dtypes.canonicalize_dtype(float))


@cache
def _cached_trace(model: nn.Module, sizes: tuple[int, ...], widest: Any) -> tuple[Shapes, frozenset[type[nn.Module]]]:
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

    def initialise(*example: Array) -> Any:
        return model.init_with_output(jax.random.key(0), *example, train=False)

    # Shapes and counts do not depend on the lowering, and XLA's own operations are traced in two thirds of the time.
    with nn.intercept_methods(follow), tally_macs(record), plain_lowering():
        outputs, variables = jax.eval_shape(initialise, *example_inputs(model, sizes))
    return Shapes(outputs, variables, *map(dict, macs)), frozenset(classes)
