"""Classifiers whose classes are texts: CLIP's image tower with features of texts in the place of a classifier."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn

from resnet_jax import ops
from resnet_jax.models.around import NetAround
from resnet_jax.models.resnet import Outputs, ResNet
from resnet_jax.types import Array, at_least_float32


class ZeroShotClassifier(NetAround):
    """Images [N, H, W, C], normalised floats -> Outputs (Radford et al. 2021, section 3.1.2).

    The logits are the cosines of an image's features and those of each class, by CLIP's factor: the parameter
    `classes/kernel` [D, K] has features of length 1, times the factor.
    """

    image_tower: ResNet
    num_classes: int

    inner: ClassVar[str] = "image_tower"

    @nn.compact
    def __call__(self, images: Array, train: bool, example_index: Array | None = None) -> Outputs:
        outputs = self.image_tower(images, train, example_index)
        features = ops.l2_normalize(outputs.logits)
        kernel = ClassFeatures(self.num_classes, name="classes")(features)
        return outputs._replace(logits=features @ kernel.astype(features.dtype))


class ClassFeatures(nn.Module):
    """Features of classes [D, K], which are no dense layer's: they must not be folded into."""

    classes: int

    @nn.compact
    def __call__(self, features: Array) -> Array:
        shape = (features.shape[-1], self.classes)
        return ops.unshard(self.param("kernel", nn.initializers.zeros, shape, at_least_float32(features.dtype)))
