"""The head of VDCNN: k-max pooling and dense layers."""

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.models.context import BlockContext
from resnet_jax.models.sequence.k_max_head import KMaxHead
from resnet_jax.models.sequence.lengths import LengthMasks
from resnet_jax.ops import k_max_pool

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 9, 3)).astype(np.float32)


def variables(head, x=X):
    shapes = jax.eval_shape(lambda: head.init(jax.random.key(0), x))
    return jax.tree.map(lambda leaf: jnp.asarray(RNG.standard_normal(leaf.shape), leaf.dtype), shapes)


def test_the_values_of_a_channel_come_in_the_order_of_their_positions():
    head = KMaxHead(BlockContext(), 5, k=4, hidden=6)
    weights = variables(head)
    pooled, logits = head.apply(weights, X)
    y = np.asarray(k_max_pool(jnp.asarray(X), 4)).reshape(2, 12)
    params = jax.tree.map(np.asarray, weights["params"])
    for layer in ("fc1", "fc2"):
        y = np.maximum(y @ params[layer]["kernel"] + params[layer]["bias"], 0)
    np.testing.assert_allclose(pooled, y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(logits, y @ params["dense"]["kernel"] + params["dense"]["bias"], rtol=1e-5, atol=1e-5)


def test_positions_behind_a_length_and_bfloat16():
    masks = LengthMasks.of(jnp.array([9, 2]), jnp.asarray(X))
    head = KMaxHead(BlockContext(masks=masks), 5, k=4, hidden=6)
    weights = variables(head)
    spoilt = jnp.asarray(X).at[1, 2:].set(np.inf)
    np.testing.assert_array_equal(head.apply(weights, spoilt)[1], head.apply(weights, X)[1])
    cut = KMaxHead(BlockContext(), 5, k=4, hidden=6).apply(weights, X[1:, :2])[1]
    np.testing.assert_allclose(head.apply(weights, spoilt)[1][1:], cut, rtol=1e-6)
    outputs = KMaxHead(BlockContext(dtype=jnp.bfloat16), 0, k=4, hidden=6).apply(weights, X.astype(jnp.bfloat16))
    assert [y.dtype for y in outputs] == [jnp.float32] * 2 and outputs[1].shape == (2, 0)
