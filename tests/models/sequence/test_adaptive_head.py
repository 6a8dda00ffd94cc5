"""The output layer of large vocabularies against its definition, token by token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.context import BlockContext
from resnet_jax.models.sequence.adaptive_head import AdaptiveHead

X = np.random.default_rng(0).standard_normal((2, 3, 8))
CONTEXT = BlockContext(dtype=jnp.float64, param_dtype=jnp.float64)


def log_softmax(z):
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def test_log_probabilities_are_those_of_the_cluster_and_within_it(x64):
    head = AdaptiveHead(CONTEXT, 11, cutoffs=(4, 7), factor=2)
    variables = head.init(jax.random.key(0), jnp.asarray(X))
    features, logits = head.apply(variables, jnp.asarray(X))
    np.testing.assert_array_equal(features, X)
    kernels = {name: np.asarray(leaf["kernel"]) for name, leaf in variables["params"].items()}
    assert {name: kernel.shape for name, kernel in kernels.items()} == {
        **{"dense": (8, 6), "tail1_down": (8, 4), "tail1_up": (4, 3), "tail2_down": (8, 2), "tail2_up": (2, 4)}
    }
    first = log_softmax(X @ kernels["dense"])
    tails = [log_softmax(X @ kernels[f"tail{i}_down"] @ kernels[f"tail{i}_up"]) for i in (1, 2)]
    expected = np.concatenate([first[..., :4], first[..., 4:5] + tails[0], first[..., 5:] + tails[1]], axis=-1)
    np.testing.assert_allclose(logits, expected, rtol=1e-12)
    np.testing.assert_allclose(np.exp(logits).sum(-1), 1, rtol=1e-12)
    np.testing.assert_allclose(jax.nn.log_softmax(logits), logits, rtol=1e-12)


def test_small_vocabularies_have_fewer_clusters():
    shapes = jax.eval_shape(AdaptiveHead(BlockContext(), 7, cutoffs=(4, 7, 90)).init, jax.random.key(0), X)
    assert {name: leaf["kernel"].shape for name, leaf in shapes["params"].items()} == {
        **{"dense": (8, 5), "tail1_down": (8, 2), "tail1_up": (2, 3)}
    }
    shapes = jax.eval_shape(AdaptiveHead(BlockContext(), 3, cutoffs=(4, 7)).init, jax.random.key(0), X)
    assert {name: leaf["kernel"].shape for name, leaf in shapes["params"].items()} == {"dense": (8, 3)}
    assert AdaptiveHead(BlockContext(), 0).apply({}, X.astype(np.float32))[1].shape == (2, 3, 0)


@pytest.mark.parametrize("cutoffs", [(4, 4), (0, 3), (7, 2)])
def test_cutoffs_increase(cutoffs):
    head = AdaptiveHead(BlockContext(), 9, cutoffs=cutoffs)
    with pytest.raises(ValueError, match="cutoffs: expected increasing numbers of tokens, got"):
        jax.eval_shape(head.init, jax.random.key(0), X)
