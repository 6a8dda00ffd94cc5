"""What all dense nets share: a backbone, and decoders on its feature maps."""

from __future__ import annotations

import math
from dataclasses import field
from functools import partial
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn

from resnet_jax import ops
from resnet_jax.models.around import NetAround
from resnet_jax.models.context import Activation, BlockContext, NormFactory
from resnet_jax.models.layers import GroupNorm
from resnet_jax.models.options import check_choice, checked_numbers, stage_names
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet
from resnet_jax.types import Array, check_is_array


class SegmentationOutputs(NamedTuple):
    """Logits of every pixel of the images, and the backbone's feature maps. Unused entries cost nothing under jit."""

    logits: Array  # [N, H, W, K], at least float32
    auxiliary: Array | None  # [N, H, W, K] of the auxiliary head, at least float32; None: the net has none
    features: dict[str, Array]  # "stem", "stage1", ...: [N, H/s, W/s, C]


class DenseNet(NetAround):
    """A net with predictions for places of the image: `backbone`, and decoders on its feature maps.

    Options of the backbone (`in_channels`, `dtype`, `bn_axis`, `output_stride`, ...) read as attributes, and `clone`
    passes them on. `frozen_norms` has names of the backbone's stages and of the net's `parts`, or "all".
    """

    backbone: ResNet  # without a head
    num_classes: int
    # Stages and parts whose norms use and keep running statistics in training; None: as the backbone has them.
    frozen_norms: tuple[str, ...] | None = None
    registry_name: str | None = field(default=None, compare=False, repr=False)  # set by `create_model`

    parts: ClassVar[tuple[str, ...]] = ()  # submodules beside the backbone
    least_classes: ClassVar[int] = 0

    def __post_init__(self) -> None:
        for name, value in checked_numbers(self, {"num_classes": self.least_classes, "head_depth": 0}).items():
            setattr(self, name, value)
        for name in [name for name in self.__dataclass_fields__ if isinstance(getattr(self, name, None), list)]:
            setattr(self, name, tuple(getattr(self, name)))
        of_backbone = self.backbone.frozen_norms
        if self.frozen_norms is not None:
            names = (self.frozen_norms,) if isinstance(self.frozen_norms, str) else tuple(self.frozen_norms)
            stages = ("all", *stage_names(self.backbone.stages))
            for name in names:
                check_choice("frozen_norms", name, (*stages, *self.parts))
            self.frozen_norms, of_backbone = names, tuple(name for name in names if name in stages)
        of_backbone += tuple(name for name in self.unused_stages() if name not in of_backbone)
        if of_backbone != self.backbone.frozen_norms:
            self.backbone = self.backbone.clone(frozen_norms=of_backbone)
        super().__post_init__()

    @nn.nowrap
    def unused_stages(self) -> tuple[str, ...]:
        """Stages of the backbone whose maps the net does not use: their statistics stay, so that nothing runs them."""
        return ()

    @nn.nowrap
    def feature_maps(self, images: Array, train: bool, index: Array) -> dict[str, Array]:
        """The backbone's maps of images [N, H, W, C]: "stem", "stage1", ... `index` int [N] keys its random numbers."""
        self.check_images(images)
        features = self.backbone(images, train, index).features
        return {name: x for name, x in features.items() if name != "pool"}

    @nn.nowrap
    def check_images(self, images: Array) -> None:
        """Raises ValueError unless these are images [N, H, W, C]; the backbone checks the rest."""
        check_is_array(images, expected := f"images float [N, H, W, {self.in_channels}]")
        if images.ndim != 4:
            raise ValueError(f"expected {expected}, got {images.dtype} {list(images.shape)}")

    @nn.nowrap
    def context(self, part: str, train: bool) -> BlockContext:
        """The context of the decoder `part`: the backbone's norm and types, plain convolutions and `ops.relu`."""
        frozen = self.frozen_norms or ()
        return BlockContext(
            make_norm=Partial(_norm_of(self.backbone), axis_name=self.bn_axis, group_size=self.bn_group_size),
            use_batch_statistics=train and "all" not in frozen and part not in frozen,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )

    @nn.nowrap
    def dropout(self, rate: float, train: bool, index: Array) -> Activation:
        """Dropout with a key of its own, sampled per example by `index` int [N]; in inference x as it is."""
        if not (train and rate):
            return lambda x: x
        return partial(ops.dropout, rate=rate, key=self.make_rng("dropout"), index=index)

    @nn.nowrap
    def stage_strides(self) -> dict[str, int]:
        """Input pixels per pixel of the map of each stage: {"stage1": 4, ...}."""
        stem: Any = self.backbone.stem
        strides, limit, by_stage = stem.total_strides, self.backbone.output_stride or math.inf, {}
        for number, stage in enumerate(self.stages, 1):
            strides *= stage.strides if strides * stage.strides <= limit else 1
            by_stage[f"stage{number}"] = strides
        return by_stage


class DecoderGroupNorm(GroupNorm):
    """Group normalisation of a decoder, whose channels `groups` may not divide: their greatest common divisor does."""

    @nn.nowrap
    def groups_of(self, channels: int) -> int:
        return math.gcd(self.groups, channels)


def _norm_of(backbone: ResNet) -> NormFactory:
    """The backbone's norm, for maps of any number of channels."""
    norm: Any = backbone.norm
    kind, keywords = (norm.func, norm.keywords) if isinstance(norm, Partial) else (norm, {})
    return Partial(DecoderGroupNorm, **keywords) if kind is GroupNorm else norm
