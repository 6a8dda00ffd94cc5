"""CLIP with residual image towers: Radford et al. 2021, table 19."""

import pytest

from resnet_jax.analysis.summary import totals
from resnet_jax.models import create_model, get_spec, list_models, natural_key
from resnet_jax.models.zoo import clip

TABLE = {  # embedding, image size, blocks, width of the last map
    "resnet50_clip": (1024, 224, (3, 4, 6, 3), 2048),
    "resnet101_clip": (512, 224, (3, 4, 23, 3), 2048),
    "resnet50x4_clip": (640, 288, (4, 6, 10, 6), 2560),
    "resnet50x16_clip": (768, 384, (6, 8, 18, 8), 3072),
    "resnet50x64_clip": (1024, 448, (3, 15, 36, 10), 4096),
}
NETS = {  # image tower, width and heads of the text tower, parameters
    "clip_resnet50": ("resnet50_clip", 512, 8, 102_007_137),
    "clip_resnet101": ("resnet101_clip", 512, 8, 119_688_033),
    "clip_resnet50x4": ("resnet50x4_clip", 640, 10, 178_300_601),
    "clip_resnet50x16": ("resnet50x16_clip", 768, 12, 290_979_217),
    "clip_resnet50x64": ("resnet50x64_clip", 1024, 16, 623_258_305),
}


@pytest.mark.parametrize("name", TABLE)
def test_towers_are_the_papers(name):
    net = create_model(name)
    embedding, size, depths, width = TABLE[name]
    assert (net.num_classes, net.image_size) == (embedding, size)
    assert tuple(stage.depth for stage in net.stages) == depths and net.stages[-1].features == width
    assert net.head.grid == size // 32 and net.stem.widths == (net.stem_features // 2,) * 2
    assert net.stem_features == width // 32
    preprocess = get_spec(name).preprocess
    assert (preprocess.image_size, preprocess.resize, preprocess.interpolation) == (size, size, "bicubic")


@pytest.mark.parametrize("name", NETS)
def test_nets_of_both_towers_are_the_papers(name):
    tower, width, heads, parameters = NETS[name]
    net, of_tower = create_model(name), create_model(tower)
    assert net.image_tower == of_tower and net.embed_dim == of_tower.num_classes
    assert (net.text_width, net.text_heads, net.text_layers) == (width, heads, 12)
    assert (net.context_length, net.vocabulary_size, net.text_act) == (77, 49_408, "quick_gelu")
    assert totals(name).parameters == parameters
    assert get_spec(name).preprocess == get_spec(tower).preprocess


def test_every_row_is_here():
    assert set(clip.MODELS) == {*TABLE, *NETS}
    assert list_models(input_kind="image-text") == sorted(NETS, key=natural_key)


def test_both_libraries_name_the_same_arrays():
    assert {row.ours.replace("/conv1", "/conv{k}") for row in clip.OPENAI.modules} >= {"stem/conv{k}", "head/dense"}
    assert {row.ours for row in clip.TIMM.modules} >= {"stem/conv{k}", "head/dense", "head/q", "head/k", "head/v"}
    assert all(row.theirs.startswith(clip.OPENAI.prefix) for row in clip.OPENAI.modules)
