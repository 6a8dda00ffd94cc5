"""Image towers of CLIP (Radford et al. 2021, section 2.4 and table 19), with timm's names.

They have the stem and shortcuts of ResNet-D, average pooling before every stride, and attention pooling in the head.
The logits are CLIP's image embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

from resnet_jax.models.blocks import Residual
from resnet_jax.models.heads import AttentionPoolHead
from resnet_jax.models.partials import Partial
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.spec import OPENAI as MEAN_STD
from resnet_jax.models.spec import ModelSpec, ModuleName, NameTable
from resnet_jax.models.stems import AveragePool, DeepStem
from resnet_jax.models.zoo.imagenet import R50, R101, net
from resnet_jax.models.zoo.variants import AVERAGED
from resnet_jax.types import Preprocess

BLOCK = Partial(Residual, branch=AVERAGED, shortcut=Partial(PooledProject, dilated_only=True))


# Names of timm's byobnet.py.
TIMM = NameTable(
    (
        ModuleName("stem.conv{k}.conv", "stem/conv{k}"),
        ModuleName("stem.conv{k}.bn", "stem/norm{k}"),
        ModuleName("stages.{t}.{i}.conv1_1x1.conv", "stage{s}_block{i}/branch/conv1"),
        ModuleName("stages.{t}.{i}.conv1_1x1.bn", "stage{s}_block{i}/branch/norm1"),
        ModuleName("stages.{t}.{i}.conv2_kxk.conv", "stage{s}_block{i}/branch/conv2"),
        ModuleName("stages.{t}.{i}.conv2_kxk.bn", "stage{s}_block{i}/branch/norm2"),
        ModuleName("stages.{t}.{i}.conv3_1x1.conv", "stage{s}_block{i}/branch/conv3"),
        ModuleName("stages.{t}.{i}.conv3_1x1.bn", "stage{s}_block{i}/branch/norm3"),
        ModuleName("stages.{t}.{i}.shortcut.conv.conv", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("stages.{t}.{i}.shortcut.conv.bn", "stage{s}_block{i}/shortcut/norm"),
        ModuleName("head.pos_embed", "head"),
        ModuleName("head.proj", "head/dense"),
        *(ModuleName(f"head.{projection}", f"head/{projection}") for projection in "qkv"),
    )
)
# Names of OpenAI's model.py, also used by open_clip. The file also has the text tower.
OPENAI = NameTable(
    (
        ModuleName("visual.conv{k}", "stem/conv{k}"),
        ModuleName("visual.bn{k}", "stem/norm{k}"),
        ModuleName("visual.layer{s}.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
        ModuleName("visual.layer{s}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
        ModuleName("visual.layer{s}.{i}.downsample.0", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("visual.layer{s}.{i}.downsample.1", "stage{s}_block{i}/shortcut/norm"),
        ModuleName("visual.attnpool.positional_embedding", "head"),
        ModuleName("visual.attnpool.c_proj", "head/dense"),
        *(ModuleName(f"visual.attnpool.{projection}_proj", f"head/{projection}") for projection in "qkv"),
    ),
    prefix="visual.",
)


def _tower(depths: Sequence[int], width: int, embedding: int, image_size: int) -> ModelSpec:
    build = net(
        depths,
        [4 * width, 8 * width, 16 * width, 32 * width],
        BLOCK,
        stem=Partial(DeepStem, widths=(width // 2, width // 2), pool=AveragePool),
        stem_features=width,
        head=Partial(AttentionPoolHead, grid=image_size // 32),
        num_classes=embedding,
    )
    preprocess = Preprocess(image_size, image_size, *MEAN_STD, interpolation="bicubic")
    return ModelSpec(build, "clip", image_size, {"timm": TIMM, "openai": OPENAI}, preprocess)


MODELS = {
    "resnet50_clip": _tower(R50, 64, 1024, 224),
    "resnet101_clip": _tower(R101, 64, 512, 224),
    "resnet50x4_clip": _tower((4, 6, 10, 6), 80, 640, 288),
    "resnet50x16_clip": _tower((6, 8, 18, 8), 96, 768, 384),
}
