"""The ImageNet nets of He et al. 2015, "Deep Residual Learning for Image Recognition", table 1.

resnet50/101/152 are v1.5, as torchvision and timm have them: stride in the 3x3. The `_v1` nets are the paper's: stride
in the first 1x1, the same parameters, 6 % fewer multiply-adds. resnet18/34 have shortcut option B; `_a`, `_b` and `_c`
say the option.
"""

from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Bottleneck
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.models.shortcuts import Project, Zero, ZeroPad

BASIC_A = Partial(Residual, shortcut=ZeroPad)
BASIC_B = Partial(Residual)
BASIC_C = Partial(Residual, shortcut=Partial(Project, always=True))
PLAIN = Partial(Residual, shortcut=Zero)
BOTTLENECK = Partial(Residual, branch=Bottleneck)
BOTTLENECK_V1 = Partial(Residual, branch=Partial(Bottleneck, strides_in_1x1=True))

BASIC_FEATURES = (64, 128, 256, 512)
BOTTLENECK_FEATURES = (256, 512, 1024, 2048)


R18, R34, R50 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 6, 3)
R101, R152 = (3, 4, 23, 3), (3, 8, 36, 3)


def net(depths, features, block, **fields) -> Partial[ResNet]:
    rows = zip(depths, features, (1, 2, 2, 2), strict=True)
    stages = tuple(Stage(depth, width, strides, block) for depth, width, strides in rows)
    return Partial(ResNet, stages=stages, **fields)


MODELS = {
    "plain18": net(R18, BASIC_FEATURES, PLAIN),
    "plain34": net(R34, BASIC_FEATURES, PLAIN),
    "resnet18": net(R18, BASIC_FEATURES, BASIC_B),
    "resnet18_a": net(R18, BASIC_FEATURES, BASIC_A),
    "resnet18_b": net(R18, BASIC_FEATURES, BASIC_B),
    "resnet18_c": net(R18, BASIC_FEATURES, BASIC_C),
    "resnet34": net(R34, BASIC_FEATURES, BASIC_B),
    "resnet34_a": net(R34, BASIC_FEATURES, BASIC_A),
    "resnet34_b": net(R34, BASIC_FEATURES, BASIC_B),
    "resnet34_c": net(R34, BASIC_FEATURES, BASIC_C),
    "resnet50": net(R50, BOTTLENECK_FEATURES, BOTTLENECK),
    "resnet101": net(R101, BOTTLENECK_FEATURES, BOTTLENECK),
    "resnet152": net(R152, BOTTLENECK_FEATURES, BOTTLENECK),
    "resnet50_v1": net(R50, BOTTLENECK_FEATURES, BOTTLENECK_V1),
    "resnet101_v1": net(R101, BOTTLENECK_FEATURES, BOTTLENECK_V1),
    "resnet152_v1": net(R152, BOTTLENECK_FEATURES, BOTTLENECK_V1),
}
