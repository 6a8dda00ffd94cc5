"""A small CLIP with a residual image tower."""

from dataclasses import replace
from functools import cache

from resnet_jax import create_model
from resnet_jax.models.heads import AttentionPoolHead
from resnet_jax.models.partials import Partial


@cache
def small(**options):
    texts = {"text_width": 32, "text_heads": 2, "text_layers": 2, "context_length": 10, "vocabulary_size": 60}
    net = create_model("clip_resnet50", embed_dim=16, image_size=64, stem_features=8, **texts, **options)
    tower, depths = net.image_tower, (1, 2, 1, 1)
    stages = (
        replace(stage, depth=depth, features=stage.features // 8)
        for stage, depth in zip(net.stages, depths, strict=True)
    )
    stem = Partial(tower.stem.func, **{**tower.stem.keywords, "widths": (4, 4)})
    return net.clone(stages=tuple(stages), stem=stem, head=Partial(AttentionPoolHead, grid=2))
