"""Depths and widths of He et al. 2015, table 6, and of the small twins."""

import pytest
import recipe

from resnet_jax.models import create_model, get_spec
from resnet_jax.models.branches import Bottle2neck
from resnet_jax.models.combine import HighwayGate
from resnet_jax.models.layers import CondConv
from resnet_jax.models.shortcuts import Project, Zero, ZeroPad


@pytest.mark.parametrize(
    ("name", "layers"),
    [("cifar_resnet8", 8), ("cifar_resnet20_b", 20), ("cifar_plain32", 32), ("cifar_highway20", 20)],
)
def test_the_number_in_a_name_counts_the_layers(name, layers):
    """6n + 2: a stem, n blocks of two convolutions in each of three stages, and a dense layer."""
    net = create_model(name)
    assert recipe.weighted_layers(net) == layers
    assert [stage.features for stage in net.stages] == [16, 32, 64]
    assert (net.image_size, net.num_classes, net.stem.total_strides) == (32, 10, 1)


def test_bottlenecks_are_four_times_as_wide_at_their_ends():
    for name in ("cifar_resnet29", "cifar_res2net29"):
        assert [stage.features for stage in create_model(name).stages] == [64, 128, 256]
    assert recipe.weighted_layers(create_model("cifar_resnet29")) == 29


def test_the_suffix_of_a_name_is_the_shortcut_option():
    assert create_model("cifar_resnet20") == create_model("cifar_resnet20_a") != create_model("cifar_resnet20_b")
    shortcuts = {option: recipe.atoms_of_net(create_model(f"cifar_resnet20{option}")) for option in ("_a", "_b", "_c")}
    assert ZeroPad in shortcuts["_a"] and ZeroPad not in shortcuts["_b"] | shortcuts["_c"]
    assert (Project, "always", True) in shortcuts["_c"]


@pytest.mark.parametrize(
    ("name", "twin", "component", "family"),
    [
        ("cifar_plain20", "cifar_resnet20", Zero, "plain"),
        ("cifar_highway20", "cifar_resnet20", HighwayGate, "highway"),
        ("cifar_condconv20", "cifar_resnet20", CondConv, "condconv"),
        ("cifar_res2net29", "cifar_resnet29", Bottle2neck, "res2net"),
    ],
)
def test_a_twin_differs_in_one_component(name, twin, component, family):
    net, other = create_model(name), create_model(twin)
    assert component in recipe.atoms_of_net(net) and component not in recipe.atoms_of_net(other)
    rows = [[(stage.depth, stage.features, stage.strides) for stage in one.stages] for one in (net, other)]
    assert rows[0] == rows[1] and (get_spec(name).family, get_spec(twin).family) == (family, "resnet")
