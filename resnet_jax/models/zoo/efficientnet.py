"""EfficientNet (Tan and Le 2019) and variants, with timm's names and image sizes.

efficientnet_b0 to b7 have PyTorch's symmetric padding and BatchNorm's usual epsilon; tf_efficientnet_* have
TensorFlow's padding and epsilon and the paper's image sizes. tf_efficientnet_cc_* have CondConv (Yang et al. 2019) in
the last three stages.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from resnet_jax import ops
from resnet_jax.models.attention import divisible
from resnet_jax.models.blocks import InvertedResidual
from resnet_jax.models.branches import MBConv
from resnet_jax.models.heads import ConvHead
from resnet_jax.models.layers import BatchNorm, Conv
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.models.spec import HALF, IMAGENET, MeanStd, ModelSpec, ModuleName, NameTable
from resnet_jax.models.stems import HalvingStem
from resnet_jax.models.zoo.libraries import LUKEMELAS, TRANSFORMERS_EFFICIENTNET, in_library, in_torchvision
from resnet_jax.types import Preprocess

# Table 1: depth, features, strides, kernel, expansion.
ROWS = (
    (1, 16, 1, 3, 1),
    (2, 24, 2, 3, 6),
    (2, 40, 2, 5, 6),
    (3, 80, 2, 3, 6),
    (3, 112, 1, 5, 6),
    (4, 192, 2, 5, 6),
    (1, 320, 1, 3, 6),
)
TENSORFLOW: dict[str, Any] = {"conv": Partial(Conv, same=True), "norm": Partial(BatchNorm, epsilon=1e-3)}


def widened(channels: int, width: float) -> int:
    """The multiple of 8 nearest to channels * width, but at least nine tenths of channels * width."""
    rounded = divisible(channels * width)
    return rounded + 8 if rounded < 0.9 * channels * width else rounded


def efficientnet(
    width: float,
    depth: float,
    resolution: int,
    *,
    experts: int | None = None,
    squeeze: float | None = 1 / 4,
    **fields: Any,
) -> Partial[ResNet]:
    """Builder of a net by the compound scaling of eq. 2 and 3.

    Args:
      width, depth: multiply the channels and the blocks of B0.
      resolution: published image side, pixels.
      experts: number of experts per convolution in the last three stages; None: ordinary convolutions.
      squeeze: squeeze-excite ratio; None: no squeeze-excite.

    Raises:
      ValueError: a scale that is not above 0.
    """
    for scale, value in (("width", width), ("depth", depth), ("resolution", resolution)):
        if value <= 0:
            raise ValueError(f"expected {scale} above 0, got {value!r}; efficientnet(1.0, 1.1, 240) is B1")
    stages = []
    for number, (blocks, channels, strides, kernel, expansion) in enumerate(ROWS):
        branch = Partial(MBConv, kernel_size=kernel, expansion=expansion, squeeze=squeeze)
        if experts is not None and number >= 4:
            branch = Partial(branch, experts=experts)
        block = Partial(InvertedResidual, branch=branch)
        stages.append(Stage(math.ceil(blocks * depth), widened(channels, width), strides, block))
    head = Partial(ConvHead, features=widened(1280, width))
    defaults: dict[str, Any] = {"stem": HalvingStem, "stem_features": widened(32, width), "head": head, "act": ops.silu}
    return Partial(ResNet, stages=tuple(stages), image_size=resolution, **(defaults | fields))


# Width, depth, image sizes of timm's weights and of the paper (pixels).
SCALES = (
    (1.0, 1.0, 224, 224),
    (1.0, 1.1, 240, 240),
    (1.1, 1.2, 256, 260),
    (1.2, 1.4, 288, 300),
    (1.4, 1.8, 320, 380),
    (1.6, 2.2, 448, 456),
    (1.8, 2.6, 528, 528),
    (2.0, 3.1, 600, 600),
)

# Names of timm's efficientnet.py. The first stage has no expansion, so its norms have smaller numbers.
TIMM = NameTable(
    (
        ModuleName("conv_stem", "stem/conv"),
        ModuleName("bn1", "stem/norm"),
        ModuleName("blocks.0.{i}.conv_dw", "stage1_block{i}/branch/conv2"),
        ModuleName("blocks.0.{i}.bn1", "stage1_block{i}/branch/norm2"),
        ModuleName("blocks.0.{i}.conv_pw", "stage1_block{i}/branch/conv3"),
        ModuleName("blocks.0.{i}.bn2", "stage1_block{i}/branch/norm3"),
        ModuleName("blocks.{t}.{i}.conv_pw", "stage{s}_block{i}/branch/conv1"),
        ModuleName("blocks.{t}.{i}.conv_dw", "stage{s}_block{i}/branch/conv2"),
        ModuleName("blocks.{t}.{i}.conv_pwl", "stage{s}_block{i}/branch/conv3"),
        ModuleName("blocks.{t}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
        ModuleName("blocks.{t}.{i}.se.conv_reduce", "stage{s}_block{i}/branch/attend/fc1", is_conv1x1=True),
        ModuleName("blocks.{t}.{i}.se.conv_expand", "stage{s}_block{i}/branch/attend/fc2", is_conv1x1=True),
        ModuleName("blocks.{t}.{i}.routing_fn", "stage{s}_block{i}/branch/routing"),
        ModuleName("conv_head", "head/conv"),
        ModuleName("bn2", "head/norm"),
        ModuleName("classifier", "head/dense"),
    )
)
TORCHVISION = NameTable(
    (
        ModuleName("features.0.0", "stem/conv"),
        ModuleName("features.0.1", "stem/norm"),
        ModuleName("features.1.{i}.block.0.0", "stage1_block{i}/branch/conv2"),
        ModuleName("features.1.{i}.block.0.1", "stage1_block{i}/branch/norm2"),
        ModuleName("features.1.{i}.block.1.fc{k}", "stage1_block{i}/branch/attend/fc{k}", is_conv1x1=True),
        ModuleName("features.1.{i}.block.2.0", "stage1_block{i}/branch/conv3"),
        ModuleName("features.1.{i}.block.2.1", "stage1_block{i}/branch/norm3"),
        ModuleName("features.{s}.{i}.block.0.0", "stage{s}_block{i}/branch/conv1"),
        ModuleName("features.{s}.{i}.block.0.1", "stage{s}_block{i}/branch/norm1"),
        ModuleName("features.{s}.{i}.block.1.0", "stage{s}_block{i}/branch/conv2"),
        ModuleName("features.{s}.{i}.block.1.1", "stage{s}_block{i}/branch/norm2"),
        ModuleName("features.{s}.{i}.block.2.fc{k}", "stage{s}_block{i}/branch/attend/fc{k}", is_conv1x1=True),
        ModuleName("features.{s}.{i}.block.3.0", "stage{s}_block{i}/branch/conv3"),
        ModuleName("features.{s}.{i}.block.3.1", "stage{s}_block{i}/branch/norm3"),
        ModuleName("features.8.0", "head/conv"),
        ModuleName("features.8.1", "head/norm"),
        ModuleName("classifier.1", "head/dense"),
    )
)
# torchvision's weights of B5 to B7 are TensorFlow's, and so are the constants of the norms; timm's are not.
TORCHVISION_LARGE = replace(TORCHVISION, overrides={"norm": Partial(BatchNorm, epsilon=1e-3, decay=0.99)})


def _spec(build: Partial[ResNet], image_size: int, mean_std: MeanStd = IMAGENET) -> ModelSpec:
    """The crop is 32 pixels smaller than the resized image, as in the paper's code."""
    preprocess = Preprocess(image_size, image_size + 32, *mean_std, interpolation="bicubic")
    return ModelSpec(build, "efficientnet", image_size, {"timm": TIMM}, preprocess)


def _cc(width: float, depth: float, image_size: int, experts: int) -> ModelSpec:
    return _spec(efficientnet(width, depth, image_size, experts=experts, **TENSORFLOW), image_size, HALF)


MODELS = {f"efficientnet_b{i}": _spec(efficientnet(w, d, size), size) for i, (w, d, size, _) in enumerate(SCALES)}
LARGE = {name: MODELS[name] for name in ("efficientnet_b5", "efficientnet_b6", "efficientnet_b7")}
MODELS = in_torchvision(MODELS, TORCHVISION) | in_torchvision(LARGE, TORCHVISION_LARGE)
MODELS |= {
    f"tf_efficientnet_b{i}": _spec(efficientnet(w, d, size, **TENSORFLOW), size)
    for i, (w, d, _, size) in enumerate(SCALES)
}
# Both libraries pad images of every size as TensorFlow pads those of the paper's size.
NOTE = "the file's library pads images of every size as those of the paper's: at other sizes its numbers differ"
PADDED = {"transformers": replace(TRANSFORMERS_EFFICIENTNET, note=NOTE), "lukemelas": replace(LUKEMELAS, note=NOTE)}
MODELS = in_library(MODELS, [f"tf_efficientnet_b{i}" for i in range(8)], **PADDED)
MODELS |= {
    "tf_efficientnet_cc_b0_4e": _cc(1.0, 1.0, 224, experts=4),
    "tf_efficientnet_cc_b0_8e": _cc(1.0, 1.0, 224, experts=8),
    "tf_efficientnet_cc_b1_8e": _cc(1.0, 1.1, 240, experts=8),
    "efficientnet_lite0": _spec(efficientnet(1.0, 1.0, 224, squeeze=None, act=ops.relu6), 224),
}
