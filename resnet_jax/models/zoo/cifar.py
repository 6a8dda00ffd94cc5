"""The CIFAR nets of He et al. 2015, section 4.2 and table 6: 6n + 2 layers, three stages of 16, 32 and 64 channels.

cifar_resnet20 and the others have the paper's parameter-free shortcut (option A); `_a`, `_b`, `_c` say the option.
cifar_resnet8 (n = 1) is not in the paper; it is the usual small student of distillation (Tian et al. 2020).
"""

from functools import partial

from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.models.stems import CifarStem
from resnet_jax.models.zoo.imagenet import BASIC_A, BASIC_B, BASIC_C, PLAIN


def _net(layers: int, block) -> partial[ResNet]:
    depth = (layers - 2) // 6
    stages = (Stage(depth, 16, 1, block), Stage(depth, 32, 2, block), Stage(depth, 64, 2, block))
    return partial(ResNet, stages=stages, num_classes=10, image_size=32, stem=CifarStem, stem_features=16)


RESNETS = (8, 20, 32, 44, 56, 110, 1202)
PLAINS = (20, 32, 44, 56, 110)
OPTIONS = {"": BASIC_A, "_a": BASIC_A, "_b": BASIC_B, "_c": BASIC_C}

MODELS = {f"cifar_plain{layers}": _net(layers, PLAIN) for layers in PLAINS} | {
    f"cifar_resnet{layers}{option}": _net(layers, block) for layers in RESNETS for option, block in OPTIONS.items()
}
