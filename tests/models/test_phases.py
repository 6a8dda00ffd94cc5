"""Nets with gates train with soft ones first; other nets have one phase."""

import flax.linen as nn
import pytest
import recipe

from resnet_jax.models import create_model
from resnet_jax.models.phases import training_phases


def test_a_gated_net_trains_with_soft_gates_then_with_hard_ones():
    net = recipe.small("cifar_skipnet38", 1)
    soft, hard = training_phases(net, gate_penalty=0.5, soft_gate_steps=7)
    assert soft == (1, net.clone(gate_penalty=0.5, soft_gates=True))
    assert hard == (8, net.clone(gate_penalty=0.5))
    assert training_phases(net) == ((1, net),)


@pytest.mark.parametrize("net", [create_model("cifar_resnet8"), nn.Dense(3)])
def test_a_net_without_gates_has_one_phase(net):
    assert training_phases(net) == ((1, net),)
    with pytest.raises(ValueError, match="expected a net with gates for gate_penalty and soft_gate_steps, got"):
        training_phases(net, gate_penalty=0.5)
