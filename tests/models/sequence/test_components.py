"""Branches, shortcuts, blocks, stems and heads of series nets."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.context import BlockContext
from resnet_jax.models.sequence.components import (
    BiasedProject,
    ConvStack,
    DilatedConvs,
    IdentityStem,
    Inception,
    InceptionModule,
    LastHead,
    NormProject,
)
from resnet_jax.models.sequence.lengths import LengthMasks

CONTEXT = BlockContext()
X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 9, 4)), jnp.float32)


def arrays(module, x=X):
    """Shapes of a module's parameters by path, and of its output."""
    y, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}, y.shape


def test_shortcuts():
    norm = {"norm/scale": (4,), "norm/bias": (4,)}
    assert arrays(NormProject(CONTEXT, 4)) == (norm, (2, 9, 4))
    wide = {"conv/kernel": (1, 4, 6), "norm/scale": (6,), "norm/bias": (6,)}
    assert arrays(NormProject(CONTEXT, 6, 2)) == (wide, (2, 5, 6))
    assert arrays(BiasedProject(CONTEXT, 6)) == ({"conv/kernel": (1, 4, 6), "conv/bias": (6,)}, (2, 9, 6))
    y, variables = BiasedProject(CONTEXT, 4).init_with_output(jax.random.key(0), X)
    assert not variables and y is X


def test_branches_have_the_kernels_of_their_tables():
    params, shape = arrays(ConvStack(CONTEXT, 6, 2))
    assert [params[f"conv{k}/kernel"] for k in (1, 2, 3)] == [(8, 4, 6), (5, 6, 6), (3, 6, 6)] and shape == (2, 5, 6)
    params, shape = arrays(DilatedConvs(CONTEXT, 6, kernel_size=5, dilation=2))
    assert params == {"conv1/kernel": (5, 4, 6), "conv2/kernel": (5, 6, 6)} and shape == (2, 9, 6)
    params, shape = arrays(InceptionModule(CONTEXT, 8))
    kernels = [params[f"{name}/kernel"] for name in ("reduce", "conv1", "conv2", "conv3", "pool_conv")]
    assert kernels == [(1, 4, 2), (40, 2, 2), (20, 2, 2), (10, 2, 2), (1, 4, 2)] and shape == (2, 9, 8)
    params, _ = arrays(InceptionModule(CONTEXT, 8), X[..., :1])
    assert "reduce/kernel" not in params and params["conv1/kernel"] == (40, 1, 2)
    params, _ = arrays(Inception(CONTEXT, 8, depth=2))
    assert {path.split("/")[0] for path in params} == {"module0", "module1"}


def test_dropout_is_behind_the_activation_of_each_dilated_convolution():
    calls = []

    def drop(x, layer):
        calls.append((layer, bool((x >= 0).all())))
        return 0 * x + layer

    y, _ = DilatedConvs(BlockContext(layer_dropout=drop), 6).init_with_output(jax.random.key(0), X)
    assert calls == [(1, True), (2, True)]
    np.testing.assert_array_equal(y, np.full((2, 9, 6), 2.0))


def test_an_inception_module_that_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="^features: expected a multiple of 4, one part for each path, got 30"):
        arrays(InceptionModule(CONTEXT, 30))
    with pytest.raises(ValueError, match="^strides: expected 1, got 2"):
        arrays(Inception(CONTEXT, 8, 2))


def test_the_stem_is_the_series():
    feature, x = IdentityStem(CONTEXT, 8).apply({}, X)
    assert feature is X and x is X


def test_the_last_head_takes_the_last_position_of_each_example():
    params = {"dense": {"kernel": jnp.ones((4, 3)), "bias": jnp.arange(3.0)}}
    for masks, last in ((None, X[:, -1]), (LengthMasks.of(jnp.array([9, 5]), X), jnp.stack([X[0, 8], X[1, 4]]))):
        pooled, logits = LastHead(replace(CONTEXT, masks=masks), 3).apply({"params": params}, X)
        np.testing.assert_array_equal(pooled, last)
        np.testing.assert_allclose(logits, last.sum(1, keepdims=True) + np.arange(3.0)[None], rtol=1e-5, atol=1e-6)
