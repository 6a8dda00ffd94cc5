"""What segmentation nets share: from the backbone's maps to logits of every pixel."""

from __future__ import annotations

from typing import ClassVar, Literal

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.dense import DenseNet, SegmentationOutputs
from resnet_jax.models.initializers import linear_uniform
from resnet_jax.models.layers import BiasedConv
from resnet_jax.ops.resize import resize
from resnet_jax.types import Array, at_least_float32

Maps = dict[str, Array]  # "stem", "stage1", ...: [N, H/s, W/s, C]


class Segmenter(DenseNet):
    """Images [N, H, W, C], normalised floats -> SegmentationOutputs. Subclasses make logits from the maps.

    `train` turns on batch statistics, dropout (random collection "dropout") and stochastic depth ("drop_path"), which
    sample per example, keyed by `example_index` int [N] (default: the image's index in `images`).
    """

    num_classes: int = 21  # 0: no classifier, logits [N, H, W, 0]

    parts: ClassVar[tuple[str, ...]] = ("decoder",)
    aligns_corners: ClassVar[bool] = False  # how logits are resized: the corner pixels' centres coincide

    @nn.compact
    def __call__(self, images: Array, train: bool, example_index: Array | None = None) -> SegmentationOutputs:
        index = jnp.arange(images.shape[0]) if example_index is None else example_index
        maps = self.feature_maps(images, train, index)
        logits, auxiliary = self.decode(maps, train, index, images.shape[1:3])
        if auxiliary is not None:
            auxiliary = self._resized(auxiliary, images)
        return SegmentationOutputs(self._resized(logits, images), auxiliary, maps)

    @nn.nowrap
    def decode(self, maps: Maps, train: bool, index: Array, image_size: tuple[int, ...]) -> tuple[Array, Array | None]:
        """Logits [N, h, w, K] of the decoder and of the auxiliary head, if there is one, of any size."""
        raise NotImplementedError

    @nn.nowrap
    def pyramid(self, maps: Maps) -> dict[int, Array]:
        """The map of the last stage of each stride (input pixels per pixel), the finest first."""
        return {strides: maps[name] for name, strides in self.stage_strides().items()}

    @nn.nowrap
    def _resized(self, logits: Array, images: Array) -> Array:
        height, width = images.shape[1:3]
        return resize(logits, (height, width), "bilinear", align_corners=self.aligns_corners)


def classify(context: BlockContext, x: Array, num_classes: int, kernel_size: Literal[1, 3] = 1) -> Array:
    """The last layer: [N, h, w, C] -> logits [N, h, w, K], in at least float32; K = 0: no layer."""
    wide = at_least_float32(context.dtype)
    if not num_classes:
        return x[..., :0].astype(wide)
    types = {"dtype": wide, "param_dtype": context.param_dtype}
    conv = BiasedConv(num_classes, kernel_size, kernel_init=linear_uniform, name="classifier", **types)
    return conv(x)
