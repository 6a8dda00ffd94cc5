"""Gated convolutional language models: causality, the reach of a position, dropout, the start."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_texts import TOKENS, VOCABULARY, small_net, variables

from resnet_jax.models import create_model
from resnet_jax.models.context import BlockContext
from resnet_jax.models.sequence.gated import GatedConvs


@pytest.mark.parametrize("name", ["gcnn14", "gcnn14b", "gcnn8_char"])
def test_a_position_sees_no_later_token(x64, name):
    net = small_net(name)
    evaluate = jax.jit(lambda tokens: net.apply(variables(name), tokens, train=False).logits)
    tokens = jnp.asarray(TOKENS)
    changed = tokens.at[:, 40].set((tokens[:, 40] + 1) % VOCABULARY)
    difference = np.abs(evaluate(changed) - evaluate(tokens)).max((0, 2))
    np.testing.assert_array_equal(difference[:40], 0)
    assert difference[40] > 1e-6
    reach = 1 + sum(stage.depth * (stage.block.branch.kernel_size - 1) for stage in net.stages)
    assert (difference[41 : 40 + reach] > 0).all()
    np.testing.assert_array_equal(difference[40 + reach :], 0)


def test_the_net_of_characters_sees_33():
    net = create_model("gcnn8_char")
    assert 1 + sum(stage.depth * (stage.block.branch.kernel_size - 1) for stage in net.stages) == 33


@pytest.mark.parametrize("width", [None, 2])
def test_dropout_is_before_each_convolution_with_numbers_of_its_own(width):
    calls = []

    def drop(x, layer):
        calls.append((layer, x.shape[-1]))
        return x

    x = jnp.ones((1, 5, 3))
    GatedConvs(BlockContext(layer_dropout=drop), 4, width=width).init(jax.random.key(0), x)
    assert calls == [(1, 3)] if width is None else [(1, 3), (2, 2), (3, 2)]


def test_dropout_is_that_of_each_example_in_the_global_batch():
    net = small_net("gcnn14b").clone(layer_drop_rate=0.3, drop_rate=0.2, dtype="float32", param_dtype="float32")
    weights = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), variables("gcnn14b"))
    rngs = {"dropout": jax.random.key(1)}

    @partial(jax.jit, static_argnames="remat")
    def train(tokens, index, remat="none"):
        return net.clone(remat=remat).apply(weights, tokens, train=True, example_index=index, rngs=rngs).logits

    tokens = jnp.asarray(TOKENS)
    whole = train(tokens, jnp.arange(3))
    np.testing.assert_allclose(train(tokens[1:], jnp.arange(1, 3)), whole[1:], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(train(tokens, jnp.arange(3), remat="block"), whole, rtol=1e-5, atol=1e-6)
    assert np.abs(train(tokens, jnp.arange(1, 4)) - whole).max() > 1e-3
    evaluated = jax.jit(lambda x: net.apply(weights, x, train=False).logits)(tokens)
    assert np.abs(evaluated - whole).max() > 1e-3


def test_a_new_net_keeps_the_scale_of_its_maps():
    net = create_model("gcnn8_char")
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 128, (4, 64)))
    weights = jax.jit(lambda key: net.init(key, tokens, train=False))(jax.random.key(0))
    features = jax.jit(lambda tokens: net.apply(weights, tokens, train=False).features)(tokens)
    first, last = (float(jnp.std(features[name][:, 33:])) for name in ("stem", "stage1"))
    assert 0.3 < last / first < 3
