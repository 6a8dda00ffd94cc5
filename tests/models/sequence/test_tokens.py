"""Nets of tokens: the embedding, unequal lengths, what is refused."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_texts import TOKENS, VOCABULARY, small_net, variables

from resnet_jax.models import create_model
from resnet_jax.models.sequence.tokens import Embedding

LENGTHS = (72, 30, 9)


@cache
def program(name):
    """A training pass over tokens and lengths: logits, updated statistics, gradient, logits at inference."""
    net = small_net(name)

    @jax.jit
    def passes(variables, tokens, lengths):
        def loss(params):
            outputs, updated = net.apply(
                {**variables, "params": params}, tokens, train=True, lengths=lengths, mutable=["batch_stats"]
            )
            inside = jnp.arange(tokens.shape[1])[None] < lengths[:, None]
            logits = outputs.logits
            counted = logits if logits.ndim == 2 else jnp.where(inside[..., None], logits, 0)
            return jnp.square(counted).sum(), (counted, updated)

        gradient, (logits, updated) = jax.grad(loss, has_aux=True)(variables["params"])
        return logits, updated, gradient, net.apply(variables, tokens, train=False, lengths=lengths).logits

    return net, passes


@pytest.mark.parametrize("name", ["vdcnn9_shortcut", "gcnn14b"])
def test_tokens_behind_a_length_change_no_number(x64, name):
    _, passes = program(name)
    behind = np.arange(TOKENS.shape[1]) >= np.array(LENGTHS)[:, None]
    expected = passes(variables(name), jnp.asarray(TOKENS), jnp.array(LENGTHS))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(expected))
    for token in (0, VOCABULARY - 1, VOCABULARY + 5):  # the last one has an embedding of NaN
        results = passes(variables(name), jnp.asarray(np.where(behind, token, TOKENS)), jnp.array(LENGTHS))
        jax.tree.map(np.testing.assert_array_equal, results, expected)
    shorter = passes(variables(name), jnp.asarray(TOKENS), jnp.array([72, 30, 8]))
    assert np.abs(shorter[0] - expected[0])[2].max() > 1e-6


@pytest.mark.parametrize("name", ["vdcnn9_shortcut", "gcnn14b"])
def test_logits_are_those_of_each_text_alone(x64, name):
    net, passes = program(name)
    logits = passes(variables(name), jnp.asarray(TOKENS), jnp.array(LENGTHS))[3]
    evaluate = jax.jit(lambda tokens: net.apply(variables(name), tokens, train=False).logits)
    for i, length in enumerate(LENGTHS):
        alone = evaluate(jnp.asarray(TOKENS[i : i + 1, :length]))[0]
        ours = logits[i] if logits.ndim == 2 else logits[i, :length]
        np.testing.assert_allclose(ours, alone, rtol=1e-9, atol=1e-10)


def test_padding_without_lengths_is_a_token_like_any_other(x64):
    net = small_net("vdcnn9")
    evaluate = jax.jit(lambda tokens: net.apply(variables("vdcnn9"), tokens, train=False).logits)
    padded = jnp.asarray(TOKENS).at[:, 60:].set(0)
    assert np.abs(evaluate(padded) - evaluate(padded.at[:, 60:].set(1))).max() > 1e-6


def test_a_token_outside_the_vocabulary_is_nan():
    embedding = Embedding(4, 3)
    table = jnp.arange(12.0).reshape(4, 3)
    y = embedding.apply({"params": {"embedding": table}}, jnp.array([[3, 0, 4, -1]]))
    np.testing.assert_array_equal(y, [[[9, 10, 11], [0, 1, 2], [np.nan] * 3, [np.nan] * 3]])


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([[1, 2]], TypeError, r"expected tokens int \[N, L\], got list"),
        (np.ones((2, 8), np.float32), TypeError, r"expected tokens int \[N, L\], got float32 \[2, 8\]"),
        (np.ones(8, int), ValueError, r"got int64 \[8\]; tokens\[None\] is a batch of one"),
        (np.ones((2, 8, 1), int), ValueError, r"of at least one token, got int64 \[2, 8, 1\]"),
        (np.ones((2, 0), int), ValueError, r"of at least one token, got int64 \[2, 0\]"),
    ],
)
def test_other_inputs_are_refused(tokens, error, message):
    init = partial(small_net("vdcnn9").init, train=False)
    with pytest.raises(error, match=message):
        jax.eval_shape(lambda: init(jax.random.key(0), tokens))


def test_options_that_no_net_of_texts_has_are_refused():
    with pytest.raises(ValueError, match="output_stride: expected None for texts, got 4"):
        create_model("vdcnn9", output_stride=4)
    with pytest.raises(ValueError, match="vocabulary_size: expected at least 1 in a net without classes, got 0"):
        create_model("gcnn8_char", num_classes=0)
    with pytest.raises(ValueError, match="vocabulary_size: expected a whole number, at least 0, got -1"):
        create_model("vdcnn9", vocabulary_size=-1)
    with pytest.raises(ValueError, match=r"layer_drop_rate: expected a rate in \[0, 1\), got 1"):
        create_model("gcnn8_char", layer_drop_rate=1)
