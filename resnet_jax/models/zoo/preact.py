"""Pre-activation nets: He et al. 2016, "Identity Mappings in Deep Residual Networks", and what was built on them.

resnetv2_*: for ImageNet, as timm builds and names them; `_bit`: Kolesnikov et al. 2019, "Big Transfer", with group
norms and standardised kernels, x2 and x3 times as wide. cifar_preresnet: the paper's nets, 110 of basic blocks, 164
and 1001 of bottlenecks. cifar_wrnD_K: Zagoruyko and Komodakis 2016, "Wide Residual Networks", D layers, K times wider.
"""

from resnet_jax.models.blocks import PreActResidual
from resnet_jax.models.branches import PreActBottleneck
from resnet_jax.models.heads import NormHead
from resnet_jax.models.layers import GroupNorm, StandardizedConv
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.stems import CifarStem, DeepStem, ImageNetStem, PaddedMaxPool
from resnet_jax.models.zoo.imagenet import BOTTLENECK_FEATURES, R50, R101, R152, net

STEM = Partial(ImageNetStem, bare=True)
BASIC = Partial(PreActResidual)
BOTTLENECK = Partial(PreActResidual, branch=PreActBottleneck)
BOTTLENECK_D = Partial(BOTTLENECK, shortcut=Partial(PooledProject, normed=False))


def _v2(depths, block=BOTTLENECK, stem=STEM, width=1, **fields) -> Partial[ResNet]:
    features = [width * channels for channels in BOTTLENECK_FEATURES]
    return net(depths, features, block, stem=stem, stem_features=64 * width, head=NormHead, **fields)


def _bit(depths, width, image_size) -> Partial[ResNet]:
    stem = Partial(ImageNetStem, bare=True, pool=PaddedMaxPool)
    return _v2(depths, stem=stem, width=width, image_size=image_size, conv=StandardizedConv, norm=GroupNorm)


def _cifar(depth, features, block, stem_features=16) -> Partial[ResNet]:
    stages = tuple(Stage(depth, width, strides, block) for width, strides in zip(features, (1, 2, 2), strict=True))
    stem = Partial(CifarStem, bare=True)
    return Partial(
        ResNet, stages=stages, num_classes=10, image_size=32, stem=stem, stem_features=stem_features, head=NormHead
    )


MODELS = {
    "resnetv2_50": _v2(R50),
    "resnetv2_101": _v2(R101),
    "resnetv2_50d": _v2(R50, BOTTLENECK_D, Partial(DeepStem, bare=True)),
    "resnetv2_50x1_bit": _bit(R50, 1, 224),
    "resnetv2_50x3_bit": _bit(R50, 3, 448),
    "resnetv2_101x1_bit": _bit(R101, 1, 448),
    "resnetv2_152x2_bit": _bit(R152, 2, 224),
    "cifar_preresnet110": _cifar(18, (16, 32, 64), BASIC),
    "cifar_preresnet164": _cifar(18, (64, 128, 256), BOTTLENECK),
    "cifar_preresnet1001": _cifar(111, (64, 128, 256), BOTTLENECK),
    "cifar_wrn16_4": _cifar(2, (64, 128, 256), BASIC),
    "cifar_wrn28_10": _cifar(4, (160, 320, 640), BASIC),
    "cifar_wrn40_2": _cifar(6, (32, 64, 128), BASIC),
}
