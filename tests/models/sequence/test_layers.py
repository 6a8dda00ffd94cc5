"""Convolutions of series."""

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax import ops
from resnet_jax.models.sequence.layers import CausalConv, WeightNormConv

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 9, 5)), jnp.float32)


def test_weight_norm_has_a_direction_and_a_length():
    conv = WeightNormConv(4, 3, dilation=2)
    params = conv.init(jax.random.key(0), X)["params"]
    kernel, scale = params["kernel"], params["scale"]
    np.testing.assert_allclose(np.square(kernel).sum((0, 1)), np.square(scale), rtol=1e-5)
    expected = ops.conv(X, kernel, dilation=2, causal=True)  # at first the kernel is v itself
    np.testing.assert_allclose(conv.apply({"params": params}, X), expected, rtol=1e-4, atol=1e-5)
    longer = {**params, "kernel": 3 * kernel, "scale": 2 * scale, "bias": params["bias"] + 1}
    np.testing.assert_allclose(conv.apply({"params": longer}, X), 2 * expected + 1, rtol=1e-4, atol=1e-5)


def test_a_causal_convolution_has_no_bias():
    conv = CausalConv(4, 3)
    params = conv.init(jax.random.key(0), X)["params"]
    assert list(params) == ["kernel"]
    expected = ops.conv(X, params["kernel"], causal=True)
    np.testing.assert_array_equal(conv.apply({"params": params}, X), expected)
    assert not np.array_equal(expected, ops.conv(X, params["kernel"]))
