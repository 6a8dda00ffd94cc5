"""Variants differ from ResNet in the components that their papers name."""

import pytest
import recipe

from resnet_jax.models import create_model, get_spec
from resnet_jax.models.attention import EfficientChannelAttention, SqueezeExcite
from resnet_jax.models.branches import Bottle2neck, SelectiveBasic, SelectiveBottleneck
from resnet_jax.models.layers import GroupNorm
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.stems import AveragePool, ConvPool, DeepStem, MaxBlurPool
from resnet_jax.models.zoo import variants
from resnet_jax.ops import avg_pool, blur_pool

COMPONENTS = {
    "resnet18d": {PooledProject, DeepStem},
    "resnet50c": {DeepStem},
    "resnet50t": {PooledProject, DeepStem},
    "resnet50_gn": {GroupNorm},
    "resnetaa50": {avg_pool, AveragePool},
    "resnetblur50": {blur_pool, MaxBlurPool},
    "resnetrs50": {PooledProject, DeepStem, ConvPool, SqueezeExcite},
    "seresnet18": {SqueezeExcite},
    "ecaresnet50d": {PooledProject, DeepStem, EfficientChannelAttention},
    "skresnet18": {SelectiveBasic},
    "skresnext50_32x4d": {SelectiveBottleneck},
    "res2net50d": {PooledProject, DeepStem, Bottle2neck},
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_are_those_of_the_paper(name):
    everything = set().union(*COMPONENTS.values())
    assert recipe.atoms_of_net(create_model(name)) & everything == COMPONENTS[name]


@pytest.mark.parametrize(
    ("name", "groups", "base_width"),
    [("resnext50_32x4d", 32, 4), ("resnext101_32x8d", 32, 8), ("seresnext101_64x4d", 64, 4)],
)
def test_the_name_of_a_grouped_net_has_its_groups_and_their_width(name, groups, base_width):
    branch = create_model(name).stages[0].block.branch
    assert (branch.keywords.get("groups", 1), branch.base_width) == (groups, base_width)


@pytest.mark.parametrize(("name", "base_width", "scale"), [("res2net50_26w_8s", 26, 8), ("res2net50_48w_2s", 48, 2)])
def test_the_name_of_a_res2net_has_the_width_and_number_of_slices(name, base_width, scale):
    branch = create_model(name).stages[0].block.branch
    assert (branch.base_width, branch.scale) == (base_width, scale)


def test_nets_with_pooled_shortcuts_have_timms_names_for_them():
    for name, spec in variants.MODELS.items():
        is_pooled = PooledProject in recipe.atoms_of_net(create_model(name))
        table = spec.name_tables["timm"]
        assert (table.modules[0].theirs == "layer{s}.{i}.downsample.1") == is_pooled, name
    assert get_spec("resnext101_64x4d").preprocess.resize == 232
