"""A smaller output stride, by timm's rule: its numbers for its weights. See tests/golden/README.md."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
import recipe

from resnet_jax.models import create_model, get_spec, shapes
from resnet_jax.weights.convert import to_state, to_variables
from resnet_jax.weights.names import Names

GOLDEN = recipe.GOLDEN / "timm" / "output_stride.npz"
DEPTHS = (1, 1, 1, 2)
FAMILIES = ("resnet50d", "resnetaa50", "resnetblur50", "resnetrs50", "resnetv2_50d", "res2net50_26w_4s")
CASES = [(name, 8) for name in FAMILIES] + [("resnet50d", 16)]


def by_timms_names(net, name):
    """Recipe weights by timm's names and shapes."""
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes(net, 64).variables)
    state = to_state(zeros, names := Names("timm", get_spec(name).name_tables["timm"]))
    return to_variables({entry: recipe.array(entry, x.shape) for entry, x in state.items()}, net, names)


@pytest.mark.parametrize(("name", "stride"), CASES)
def test_pools_are_timms(x64, name, stride):
    net = create_model(name, num_classes=7, output_stride=stride, dtype="float64", param_dtype="float64")
    net = net.clone(stages=tuple(replace(stage, depth=depth) for stage, depth in zip(net.stages, DEPTHS, strict=True)))
    x = np.random.default_rng(0).standard_normal((2, 3, 33, 49)).transpose(0, 2, 3, 1)
    variables, expected = by_timms_names(net, name), np.load(GOLDEN)[f"{name}_{stride}"]
    logits = jax.jit(partial(net.apply, train=False))(variables, x).logits
    assert np.linalg.norm(logits - expected) < 1e-12 * np.linalg.norm(expected)
