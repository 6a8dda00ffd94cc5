"""Highway gates: open, closed, and both gates open."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.models import create_model
from resnet_jax.models.blocks import HighwayDense, Residual
from resnet_jax.models.combine import HighwayGate
from resnet_jax.models.context import BlockContext
from resnet_jax.models.shortcuts import Zero, ZeroPad

DOUBLE = {"dtype": jnp.float64, "param_dtype": jnp.float64}
RNG = np.random.default_rng(0)
MAP, VECTOR = RNG.standard_normal((2, 6, 7, 3)), RNG.standard_normal((5, 4))
SURE = 1e4  # a logit with a sigmoid of exactly 1; -SURE gives exactly 0


def gated(variables, **logits):
    """Variables with gate kernels of 0 and gate biases of `logits`, by the gate's name."""
    flat = flatten_dict(variables)
    for path in flat:
        for name, logit in logits.items():
            if path[-2] == name:
                flat[path] = jnp.zeros_like(flat[path])
            elif path[-1] == f"{name}_bias":
                flat[path] = jnp.full_like(flat[path], logit)
    return unflatten_dict(flat)


def random_variables(module, x):
    """Random weights, for the norms too."""
    shapes = flatten_dict(jax.eval_shape(lambda: module.init(jax.random.key(0), x)))
    return unflatten_dict({path: jnp.asarray(RNG.random(shape.shape)) for path, shape in shapes.items()})


@pytest.mark.parametrize("strides", [1, 2])
def test_an_open_gate_gives_the_plain_block_a_closed_one_the_shortcut(x64, strides):
    x, context = jnp.asarray(MAP), BlockContext(**DOUBLE)
    highway = Residual(context, 8, strides, shortcut=ZeroPad, combine=HighwayGate)
    variables = random_variables(highway, x)
    plain = Residual(context, 8, strides, shortcut=Zero).apply(variables, x)
    shortcut = ZeroPad(context, 8, strides).apply({}, x)
    opened = highway.apply(gated(variables, transform=SURE), x)
    closed = highway.apply(gated(variables, transform=-SURE), x)
    np.testing.assert_array_equal(opened, plain)
    np.testing.assert_array_equal(closed, np.maximum(shortcut, 0))
    between = highway.apply(gated(variables, transform=0), x)
    assert np.abs(between - opened).max() > 1e-3 < np.abs(between - closed).max()


def test_uncoupled_gates_that_are_open_give_the_residual_block(x64):
    x, context = jnp.asarray(MAP), BlockContext(**DOUBLE)
    highway = Residual(context, 8, shortcut=ZeroPad, combine=partial(HighwayGate, coupled=False))
    variables = random_variables(highway, x)
    residual = Residual(context, 8, shortcut=ZeroPad).apply(variables, x)
    opened = highway.apply(gated(variables, transform=SURE, carry=SURE), x)
    np.testing.assert_array_equal(opened, residual)


def test_an_open_gate_of_a_vector_gives_the_dense_layer_a_closed_one_the_vector(x64):
    x, block = jnp.asarray(VECTOR), HighwayDense(BlockContext(**DOUBLE))
    variables = random_variables(block, x)
    p = jax.tree.map(np.asarray, variables["params"])
    h = np.maximum(VECTOR @ p["dense"]["kernel"] + p["dense"]["bias"], 0)
    np.testing.assert_allclose(block.apply(gated(variables, transform=SURE), x), h, rtol=1e-12)
    np.testing.assert_array_equal(block.apply(gated(variables, transform=-SURE), x), VECTOR)


def test_gates_start_nearly_closed_and_branches_without_zero_initialisation():
    """A zero-initialised branch, as in a residual net, would leave (1 - T) ** depth of the signal."""
    net = recipe.small("cifar_highway20", 1)
    variables = jax.jit(partial(net.init, train=False))(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    block = variables["params"]["stage2_block0"]
    np.testing.assert_array_equal(block["combine"]["transform_bias"], -2)
    np.testing.assert_array_equal(block["branch"]["norm2"]["scale"], 1)


def test_a_highway_net_is_its_residual_twin_with_gates():
    def paths(name):
        return set(flatten_dict(jax.eval_shape(lambda: net(name).init(jax.random.key(0), x, train=False))))

    def net(name):
        return create_model(name)

    x = jnp.zeros((1, 8, 8, 3))
    gates = {path for path in paths("cifar_highway20") if "combine" in path}
    assert len(gates) == 2 * 9
    assert paths("cifar_highway20") - gates == paths("cifar_resnet20")
