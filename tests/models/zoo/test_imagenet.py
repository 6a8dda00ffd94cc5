"""Table 1 of He et al. 2015."""

import pytest
import recipe

from resnet_jax.models import create_model, get_spec
from resnet_jax.models.branches import Bottleneck
from resnet_jax.models.zoo import imagenet

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@pytest.mark.parametrize("layers", DEPTHS)
def test_depths_and_widths_are_the_papers(layers):
    net, wide = create_model(f"resnet{layers}"), layers >= 50
    assert tuple(stage.depth for stage in net.stages) == DEPTHS[layers]
    assert [stage.features for stage in net.stages] == [(256 if wide else 64) * 2**i for i in range(4)]
    assert [stage.strides for stage in net.stages] == [1, 2, 2, 2]
    assert 2 + (3 if wide else 2) * sum(DEPTHS[layers]) == layers


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "plain34"])
def test_the_number_in_a_name_counts_the_layers(name):
    assert recipe.weighted_layers(create_model(name)) == int(name[-2:])


def test_v1_and_v1_5_differ_in_the_place_of_the_stride_alone():
    for layers in (50, 101, 152):
        net, paper = create_model(f"resnet{layers}"), create_model(f"resnet{layers}_v1")
        assert recipe.atoms_of_net(paper) - recipe.atoms_of_net(net) == {(Bottleneck, "strides_in_1x1", True)}
        assert not {"timm", "torchvision"} & get_spec(paper).name_tables.keys()  # they have v1.5 alone


def test_option_b_is_the_default_of_small_nets():
    assert create_model("resnet18") == create_model("resnet18_b") != create_model("resnet18_a")
    assert create_model("resnet34") == create_model("resnet34_b") != create_model("resnet34_c")


def test_timms_names_are_torchvisions_and_more():
    assert set(imagenet.TORCHVISION_MODULES) < set(imagenet.TIMM_MODULES)
    tables = get_spec("resnet50").name_tables
    assert (tables["timm"], tables["torchvision"]) == (imagenet.TIMM, imagenet.TORCHVISION)
