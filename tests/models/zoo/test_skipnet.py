"""SkipNets: their gates, and the twins without gates."""

import pytest
import recipe

from resnet_jax.models import create_model
from resnet_jax.models.skipnet import FeedForwardGate, RecurrentGate


@pytest.mark.parametrize(
    ("name", "twin"),
    [("cifar_skipnet38", "cifar_resnet38"), ("cifar_skipnet74_rnn", "cifar_resnet74"), ("skipnet50", "resnet50")],
)
def test_stages_are_those_of_the_twin(name, twin):
    net, other = create_model(name), create_model(twin)
    rows = [[(stage.depth, stage.features, stage.strides) for stage in one.stages] for one in (net, other)]
    assert rows[0] == rows[1] and net.num_classes == other.num_classes and net.stem == other.stem


@pytest.mark.parametrize(("name", "convs"), [("cifar_skipnet38", 2), ("cifar_skipnet74", 2), ("cifar_skipnet110", 1)])
def test_deep_nets_have_smaller_feed_forward_gates(name, convs):
    net = create_model(name)
    gate = net.stages[0].block.gate
    assert (gate.convs, net.memory_size) == (convs, None)
    assert FeedForwardGate in recipe.atoms_of_net(net)


@pytest.mark.parametrize("name", ["cifar_skipnet38_rnn", "skipnet101"])
def test_recurrent_gates_share_a_memory_of_ten_numbers(name):
    net = create_model(name)
    assert all(stage.block.gate is RecurrentGate for stage in net.stages) and net.memory_size == 10
