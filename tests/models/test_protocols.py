"""All components of a block are made by one call: (context, features, strides, *, name)."""

import inspect

import flax.linen as nn
import pytest

from resnet_jax.models import attention, blocks, branches, combine, shortcuts, skipnet
from resnet_jax.models.context import BlockContext

OTHERS = {"HighwayDense", "FeedForwardGate", "RecurrentGate", "Memory", "SkipNet"}  # not components of a block
COMPONENTS = [
    component
    for module in (attention, blocks, branches, combine, shortcuts, skipnet)
    for name, component in inspect.getmembers(module, inspect.isclass)
    if issubclass(component, nn.Module) and component.__module__ == module.__name__ and name not in OTHERS
]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_components_take_context_features_and_strides(component):
    assert [*inspect.signature(component).parameters][:3] == ["context", "features", "strides"]
    made = component(BlockContext(), 8, 2, name="component")
    assert (made.context, made.features, made.strides, made.name) == (BlockContext(), 8, 2, "component")
