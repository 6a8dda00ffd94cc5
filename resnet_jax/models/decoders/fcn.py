"""FCN: Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation", as torchvision builds it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import flax.linen as nn

from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.segmenter import Maps, Segmenter, classify
from resnet_jax.types import Array

AUXILIARY_DROPOUT = 0.1


class FCNHead(nn.Module):
    """A 3x3 convolution to a quarter of the channels, dropout and a 1x1 convolution: [N, h, w, C] -> [N, h, w, K]."""

    context: BlockContext
    num_classes: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.context.conv(x.shape[-1] // 4, 3, name="conv")(x)
        y = self.context.act(self.context.norm(name="norm")(y))
        return classify(self.context, self.context.dropout(y), self.num_classes)


class AuxiliarySegmenter(Segmenter):
    """A segmenter with a second head on the last stage but one, which training adds to the loss."""

    has_auxiliary: bool = True

    parts: ClassVar[tuple[str, ...]] = ("decoder", "auxiliary")

    @nn.nowrap
    def auxiliary_logits(self, maps: Maps, train: bool, index: Array) -> Array | None:
        """Logits of an `FCNHead`, [N, h, w, K]."""
        if not self.has_auxiliary:
            return None
        dropout = self.dropout(AUXILIARY_DROPOUT if self.dropout_rate else 0.0, train, index)
        context = replace(self.context("auxiliary", train), dropout=dropout)
        return FCNHead(context, self.num_classes, name="auxiliary")(maps[f"stage{max(len(self.stages) - 1, 1)}"])


class FCN(AuxiliarySegmenter):
    """An `FCNHead` on the last stage, of output stride 8 in torchvision's nets."""

    dropout_rate: float = 0.1  # before the classifier; 0: no dropout in the auxiliary head either

    @nn.nowrap
    def decode(self, maps: Maps, train: bool, index: Array, image_size: tuple[int, ...]) -> tuple[Array, Array | None]:
        context = replace(self.context("decoder", train), dropout=self.dropout(self.dropout_rate, train, index))
        logits = FCNHead(context, self.num_classes, name="decoder")(maps[f"stage{len(self.stages)}"])
        return logits, self.auxiliary_logits(maps, train, index)
