"""The ImageNet nets of He et al. 2015, "Deep Residual Learning for Image Recognition", table 1.

resnet50/101/152 are v1.5, as torchvision and timm have them: stride in the 3x3. The `_v1` nets are the paper's: stride
in the first 1x1, the same parameters, 6 % fewer multiply-adds. resnet18/34 have shortcut option B; `_a`, `_b` and `_c`
say the option.
"""

from functools import partial

from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Bottleneck
from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.models.shortcuts import Project, Zero, ZeroPad

BASIC_A = partial(Residual, shortcut=ZeroPad)
BASIC_B = partial(Residual)
BASIC_C = partial(Residual, shortcut=partial(Project, always=True))
PLAIN = partial(Residual, shortcut=Zero)
BOTTLENECK = partial(Residual, branch=Bottleneck)
BOTTLENECK_V1 = partial(Residual, branch=partial(Bottleneck, strides_in_1x1=True))

BASIC_FEATURES = (64, 128, 256, 512)
BOTTLENECK_FEATURES = (256, 512, 1024, 2048)


def _net(depths, features, block) -> partial[ResNet]:
    rows = zip(depths, features, (1, 2, 2, 2), strict=True)
    return partial(ResNet, stages=tuple(Stage(depth, width, strides, block) for depth, width, strides in rows))


_R18, _R34, _R50 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 6, 3)
_R101, _R152 = (3, 4, 23, 3), (3, 8, 36, 3)

MODELS = {
    "plain18": _net(_R18, BASIC_FEATURES, PLAIN),
    "plain34": _net(_R34, BASIC_FEATURES, PLAIN),
    "resnet18": _net(_R18, BASIC_FEATURES, BASIC_B),
    "resnet18_a": _net(_R18, BASIC_FEATURES, BASIC_A),
    "resnet18_b": _net(_R18, BASIC_FEATURES, BASIC_B),
    "resnet18_c": _net(_R18, BASIC_FEATURES, BASIC_C),
    "resnet34": _net(_R34, BASIC_FEATURES, BASIC_B),
    "resnet34_a": _net(_R34, BASIC_FEATURES, BASIC_A),
    "resnet34_b": _net(_R34, BASIC_FEATURES, BASIC_B),
    "resnet34_c": _net(_R34, BASIC_FEATURES, BASIC_C),
    "resnet50": _net(_R50, BOTTLENECK_FEATURES, BOTTLENECK),
    "resnet101": _net(_R101, BOTTLENECK_FEATURES, BOTTLENECK),
    "resnet152": _net(_R152, BOTTLENECK_FEATURES, BOTTLENECK),
    "resnet50_v1": _net(_R50, BOTTLENECK_FEATURES, BOTTLENECK_V1),
    "resnet101_v1": _net(_R101, BOTTLENECK_FEATURES, BOTTLENECK_V1),
    "resnet152_v1": _net(_R152, BOTTLENECK_FEATURES, BOTTLENECK_V1),
}
