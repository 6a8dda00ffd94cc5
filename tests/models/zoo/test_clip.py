"""CLIP's image towers: Radford et al. 2021, table 19."""

import pytest

from resnet_jax.models import create_model, get_spec
from resnet_jax.models.zoo import clip

TABLE = {  # embedding, image size, blocks, width of the last map
    "resnet50_clip": (1024, 224, (3, 4, 6, 3), 2048),
    "resnet101_clip": (512, 224, (3, 4, 23, 3), 2048),
    "resnet50x4_clip": (640, 288, (4, 6, 10, 6), 2560),
    "resnet50x16_clip": (768, 384, (6, 8, 18, 8), 3072),
}


@pytest.mark.parametrize("name", clip.MODELS)
def test_towers_are_the_papers(name):
    net = create_model(name)
    embedding, size, depths, width = TABLE[name]
    assert (net.num_classes, net.image_size) == (embedding, size)
    assert tuple(stage.depth for stage in net.stages) == depths and net.stages[-1].features == width
    assert net.head.grid == size // 32 and net.stem.widths == (net.stem_features // 2,) * 2
    assert net.stem_features == width // 32
    preprocess = get_spec(name).preprocess
    assert (preprocess.image_size, preprocess.resize, preprocess.interpolation) == (size, size, "bicubic")


def test_both_libraries_name_the_same_arrays():
    assert {row.ours.replace("/conv1", "/conv{k}") for row in clip.OPENAI.modules} >= {"stem/conv{k}", "head/dense"}
    assert {row.ours for row in clip.TIMM.modules} >= {"stem/conv{k}", "head/dense", "head/q", "head/k", "head/v"}
    assert all(row.theirs.startswith(clip.OPENAI.prefix) for row in clip.OPENAI.modules)
