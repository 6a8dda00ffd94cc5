"""The image towers of CLIP (Radford et al. 2021, section 2.4 and table 19), as timm names them.

ResNet-D's ideas, averages before every stride, and attention for the last pool. The logits are CLIP's image embedding.
"""

from resnet_jax.models.blocks import Residual
from resnet_jax.models.heads import AttentionPoolHead
from resnet_jax.models.partials import Partial
from resnet_jax.models.resnet import ResNet
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.stems import AveragePool, DeepStem
from resnet_jax.models.zoo.imagenet import R50, R101, net
from resnet_jax.models.zoo.variants import AVERAGED

BLOCK = Partial(Residual, branch=AVERAGED, shortcut=Partial(PooledProject, dilated_only=True))


def _tower(depths, width, embedding, image_size) -> Partial[ResNet]:
    return net(
        depths,
        [4 * width, 8 * width, 16 * width, 32 * width],
        BLOCK,
        stem=Partial(DeepStem, widths=(width // 2, width // 2), pool=AveragePool),
        stem_features=width,
        head=Partial(AttentionPoolHead, grid=image_size // 32),
        num_classes=embedding,
        image_size=image_size,
    )


MODELS = {
    "resnet50_clip": _tower(R50, 64, 1024, 224),
    "resnet101_clip": _tower(R101, 64, 512, 224),
    "resnet50x4_clip": _tower((4, 6, 10, 6), 80, 640, 288),
    "resnet50x16_clip": _tower((6, 8, 18, 8), 96, 768, 384),
}
