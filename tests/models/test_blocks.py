"""Blocks are their equations, from the components that they call."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.models import create_model, feature_info
from resnet_jax.models.attention import SqueezeExcite
from resnet_jax.models.blocks import HighwayDense, InvertedResidual, PreActResidual, Residual
from resnet_jax.models.branches import Basic, MBConv, PreActBasic
from resnet_jax.models.context import BlockContext
from resnet_jax.models.layers import BatchNorm
from resnet_jax.models.shortcuts import Project, Zero
from resnet_jax.models.stems import MaxPool
from resnet_jax.ops import max_pool

DOUBLE = {"dtype": jnp.float64, "param_dtype": jnp.float64}
CONTEXT = BlockContext(**DOUBLE)
RNG = np.random.default_rng(0)
X = np.zeros((2, 6, 4, 8))


def random_variables(module, x=X):
    """Random weights, for the norms too."""
    shapes = flatten_dict(jax.eval_shape(lambda: module.init(jax.random.key(0), x)))
    return unflatten_dict({path: jnp.asarray(0.5 + RNG.random(leaf.shape)) for path, leaf in shapes.items()})


def run(module, variables, x, **options):
    return jax.jit(partial(module.apply, **options))(variables, x)


def part(variables, name):
    """The variables of a submodule."""
    return {collection: tree[name] for collection, tree in variables.items() if name in tree}


@pytest.mark.parametrize(("features", "strides"), [(8, 1), (16, 2)])
def test_a_residual_block_adds_attended_branch_and_shortcut_and_activates(x64, features, strides):
    x = jnp.asarray(RNG.standard_normal((2, 6, 4, 8)))
    block = Residual(CONTEXT, features, strides, attend=SqueezeExcite)
    variables = random_variables(block)
    y = run(Basic(CONTEXT, features, strides), part(variables, "branch"), x)
    y = run(SqueezeExcite(CONTEXT, features), part(variables, "attend"), y)
    s = run(Project(CONTEXT, features, strides), part(variables, "shortcut"), x)
    np.testing.assert_allclose(run(block, variables, x), np.maximum(y + s, 0), rtol=1e-12)
    assert ("shortcut" in variables["params"]) == (strides == 2)  # x itself where the shape stays


def test_a_block_that_pools_is_the_block_of_the_pooled_map(x64):
    x = jnp.asarray(RNG.standard_normal((2, 6, 4, 8)))
    block = Residual(CONTEXT, 16, 2, pool=MaxPool)
    variables = random_variables(block)
    expected = run(Residual(CONTEXT, 16), variables, max_pool(x))
    np.testing.assert_allclose(run(block, variables, x), expected, rtol=1e-12)
    np.testing.assert_array_equal(
        run(Residual(CONTEXT, 16, pool=MaxPool), variables, x), run(Residual(CONTEXT, 16), variables, x)
    )
    for context, strides in ((CONTEXT, 3), (replace(CONTEXT, take_strides=False), 2)):
        with pytest.raises(ValueError, match=f"takes strides of 2 and no output stride, got {strides}"):
            random_variables(Residual(context, 16, strides, pool=MaxPool), x)


@pytest.mark.parametrize(("features", "strides"), [(8, 1), (8, 2), (16, 1)])
def test_a_preactivation_block_projects_what_the_branch_sees(x64, features, strides):
    """Where the shape stays, the input itself is added, without norm and activation."""
    x = jnp.asarray(RNG.standard_normal((2, 6, 4, 8)))
    block = PreActResidual(CONTEXT, features, strides)
    variables = random_variables(block)
    norm = BatchNorm(**DOUBLE)
    z = jnp.maximum(run(norm, part(variables, "norm1"), x, use_batch_statistics=False), 0)
    y = run(PreActBasic(CONTEXT, features, strides), part(variables, "branch"), z)
    if (features, strides) == (8, 1):
        expected = y + x
    else:
        expected = y + run(Project(CONTEXT, features, strides, normed=False), part(variables, "shortcut"), z)
    np.testing.assert_allclose(run(block, variables, x), expected, rtol=1e-12)


@pytest.mark.parametrize(("features", "strides", "added"), [(8, 1, True), (8, 2, False), (16, 1, False)])
def test_an_inverted_block_adds_its_input_where_the_shape_stays(x64, features, strides, added):
    x = jnp.asarray(RNG.standard_normal((2, 6, 4, 8)))
    block = InvertedResidual(CONTEXT, features, strides)
    variables = random_variables(block)
    y = run(MBConv(CONTEXT, features, strides), part(variables, "branch"), x)
    np.testing.assert_allclose(run(block, variables, x), y + x if added else y, rtol=1e-12)


def test_the_fully_connected_block_is_the_papers_equation(x64):
    x = RNG.standard_normal((5, 4))
    block = HighwayDense(CONTEXT)
    variables = random_variables(block, jnp.asarray(x))
    p = jax.tree.map(np.asarray, variables["params"])
    h = np.maximum(x @ p["dense"]["kernel"] + p["dense"]["bias"], 0)
    t = 1 / (1 + np.exp(-(x @ p["combine"]["transform"]["kernel"] + p["combine"]["transform_bias"])))
    np.testing.assert_allclose(run(block, variables, jnp.asarray(x)), h * t + x * (1 - t), rtol=1e-12)


@pytest.mark.parametrize("block", [Residual, PreActResidual, InvertedResidual])
def test_stochastic_depth_leaves_the_shortcut(x64, block):
    x = jnp.abs(jnp.asarray(RNG.standard_normal((2, 6, 4, 8))))
    dropped = block(BlockContext(**DOUBLE, drop_path=jnp.zeros_like), 8)
    np.testing.assert_array_equal(run(dropped, random_variables(dropped), x), x)


def test_drop_path_in_a_plain_net_raises_an_error():
    with pytest.raises(ValueError, match="drop_path needs shortcuts"):
        feature_info(create_model("cifar_plain20", drop_path=0.1))


@pytest.mark.parametrize(("shortcut", "scale"), [(Project, 0), (Zero, 1)])
def test_a_branch_is_zero_at_first_where_the_shortcut_carries_the_signal(shortcut, scale):
    x = jnp.zeros((1, 4, 4, 8))
    variables = jax.jit(Residual(BlockContext(), 8, shortcut=shortcut).init)(jax.random.key(0), x)
    np.testing.assert_array_equal(variables["params"]["branch"]["norm2"]["scale"], scale)
