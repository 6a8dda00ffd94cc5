"""EfficientNet (Tan and Le 2019) and its kin, as timm names and sizes them.

efficientnet_b0 to b7 pad symmetrically, as PyTorch does, with BatchNorm's usual epsilon; tf_efficientnet_* as
TensorFlow does, with its epsilon, at the paper's sizes. tf_efficientnet_cc_*: CondConv (Yang et al. 2019) in the last
three stages.
"""

import math
from typing import Any

from resnet_jax import ops
from resnet_jax.models.attention import divisible
from resnet_jax.models.blocks import InvertedResidual
from resnet_jax.models.branches import MBConv
from resnet_jax.models.heads import ConvHead
from resnet_jax.models.layers import BatchNorm, Conv
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.models.stems import HalvingStem

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
    """A multiple of 8 near channels * width, and no less than nine tenths of it."""
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
    """The compound scaling of eq. 2 and 3: channels by `width`, blocks by `depth`, images of `resolution` pixels.

    `experts`: of the convolutions in the last three stages. `squeeze`: of squeeze-excite; None: without.

    Raises:
      ValueError: a scale that is not above 0.
    """
    for scale, value in (("width", width), ("depth", depth), ("resolution", resolution)):
        if value <= 0:
            raise ValueError(f"{scale}={value!r}; wanted: above 0, as efficientnet(1.0, 1.1, 240), which is B1")
    stages = []
    for number, (blocks, channels, strides, kernel, expansion) in enumerate(ROWS):
        branch = Partial(MBConv, kernel_size=kernel, expansion=expansion, squeeze=squeeze)
        if experts is not None and number >= 4:
            branch = Partial(branch, experts=experts)
        block = Partial(InvertedResidual, branch=branch)
        stages.append(Stage(math.ceil(blocks * depth), widened(channels, width), strides, block))
    head = Partial(ConvHead, features=widened(1280, width))
    own: dict[str, Any] = {"stem": HalvingStem, "stem_features": widened(32, width), "head": head, "act": ops.silu}
    return Partial(ResNet, stages=tuple(stages), image_size=resolution, **(own | fields))


# Width, depth, the sizes of timm's weights and the paper's (pixels).
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

MODELS = {f"efficientnet_b{i}": efficientnet(w, d, size) for i, (w, d, size, _) in enumerate(SCALES)}
MODELS |= {f"tf_efficientnet_b{i}": efficientnet(w, d, size, **TENSORFLOW) for i, (w, d, _, size) in enumerate(SCALES)}
MODELS |= {
    "tf_efficientnet_cc_b0_4e": efficientnet(1.0, 1.0, 224, experts=4, **TENSORFLOW),
    "tf_efficientnet_cc_b0_8e": efficientnet(1.0, 1.0, 224, experts=8, **TENSORFLOW),
    "tf_efficientnet_cc_b1_8e": efficientnet(1.0, 1.1, 240, experts=8, **TENSORFLOW),
    "efficientnet_lite0": efficientnet(1.0, 1.0, 224, squeeze=None, act=ops.relu6),  # for phones
}
