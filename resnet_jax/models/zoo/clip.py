"""CLIP with residual image towers (Radford et al. 2021, section 2.4 and table 19).

The image towers have timm's names, the stem and shortcuts of ResNet-D, average pooling before every stride, and
attention pooling in the head. Their logits are CLIP's image embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_jax.models.blocks import Residual
from resnet_jax.models.heads import AttentionPoolHead
from resnet_jax.models.image_text import CLIP
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
    "resnet50x64_clip": _tower((3, 15, 36, 10), 128, 1024, 448),
}


def _of_tower(modules: tuple[ModuleName, ...], prefix: str = "") -> tuple[ModuleName, ...]:
    """Names of an image tower's modules inside CLIP, which the library puts behind `prefix`."""
    return tuple(row._replace(theirs=prefix + row.theirs, ours=f"image_tower/{row.ours}") for row in modules)


BLOCK_NAME = "text_tower/block{i}"
HEAD = ("image_tower/head/dense",)
# Names of OpenAI's and open_clip's whole nets; only open_clip's may have a bias of the logits.
OPENAI_CLIP = NameTable(
    (
        *_of_tower(OPENAI.modules),
        ModuleName("token_embedding.weight", "text_tower/token_embedding/embedding"),
        ModuleName("positional_embedding", "text_tower/positional_embedding"),
        ModuleName("transformer.resblocks.{i}.ln_1", f"{BLOCK_NAME}/norm1"),
        ModuleName("transformer.resblocks.{i}.attn.in_proj_weight", f"{BLOCK_NAME}/attention/qkv/kernel"),
        ModuleName("transformer.resblocks.{i}.attn.in_proj_bias", f"{BLOCK_NAME}/attention/qkv/bias"),
        ModuleName("transformer.resblocks.{i}.attn.out_proj", f"{BLOCK_NAME}/attention/out"),
        ModuleName("transformer.resblocks.{i}.ln_2", f"{BLOCK_NAME}/norm2"),
        ModuleName("transformer.resblocks.{i}.mlp.c_fc", f"{BLOCK_NAME}/dense1"),
        ModuleName("transformer.resblocks.{i}.mlp.c_proj", f"{BLOCK_NAME}/dense2"),
        ModuleName("ln_final", "text_tower/norm"),
        ModuleName("text_projection", "text_tower/projection/kernel", is_as_ours=True),
        ModuleName("logit_scale", "logit_scale"),
        ModuleName("logit_bias", "logit_bias"),
    ),
    classifiers=HEAD,
    ignored="input_resolution|context_length|vocab_size|attn_mask",
    optional=("logit_bias",),
    inner_prefix=OPENAI.prefix,
    choices=("text_act",),
)
# Names of transformers' CLIPModel, which has no residual image towers: theirs have timm's names behind "vision_model.".
TRANSFORMERS_CLIP = NameTable(
    (
        *_of_tower(TIMM.modules, "vision_model."),
        ModuleName("text_model.embeddings.token_embedding.weight", "text_tower/token_embedding/embedding"),
        ModuleName("text_model.embeddings.position_embedding.weight", "text_tower/positional_embedding"),
        ModuleName("text_model.encoder.layers.{i}.layer_norm1", f"{BLOCK_NAME}/norm1"),
        ModuleName(
            "text_model.encoder.layers.{i}.self_attn.{part}_proj",
            f"{BLOCK_NAME}/attention/qkv",
            parts=("q", "k", "v"),
        ),
        ModuleName("text_model.encoder.layers.{i}.self_attn.out_proj", f"{BLOCK_NAME}/attention/out"),
        ModuleName("text_model.encoder.layers.{i}.layer_norm2", f"{BLOCK_NAME}/norm2"),
        ModuleName("text_model.encoder.layers.{i}.mlp.fc1", f"{BLOCK_NAME}/dense1"),
        ModuleName("text_model.encoder.layers.{i}.mlp.fc2", f"{BLOCK_NAME}/dense2"),
        ModuleName("text_model.final_layer_norm", "text_tower/norm"),
        ModuleName("text_projection", "text_tower/projection"),
        ModuleName("logit_scale", "logit_scale"),
        ModuleName("logit_bias", "logit_bias"),
    ),
    classifiers=HEAD,
    ignored=r"(text|vision)_model\.embeddings\.position_ids",
    optional=("logit_bias",),
    inner_prefix="vision_model.",
    choices=("text_act",),
)


def _clip(image_tower: str, width: int) -> ModelSpec:
    """An image tower with a text tower of this width, in heads of 64 channels."""
    tower: Any = MODELS[image_tower]
    embedding = tower.build(parent=None).num_classes
    build = Partial(CLIP, embed_dim=embedding, text_width=width, text_heads=width // 64)
    return ModelSpec(
        build,
        "contrastive",
        tower.image_size,
        {"openai": OPENAI_CLIP, "transformers": TRANSFORMERS_CLIP},
        tower.preprocess,
        input_kind="image-text",
        image_tower=image_tower,
    )


TEXT_WIDTHS = {"50": 512, "101": 512, "50x4": 640, "50x16": 768, "50x64": 1024}
MODELS |= {f"clip_resnet{size}": _clip(f"resnet{size}_clip", width) for size, width in TEXT_WIDTHS.items()}
