"""The loss of the next token, against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.tasks.token_losses import next_token_losses

RNG = np.random.default_rng(0)
LOGITS, TOKENS = RNG.standard_normal((4, 6, 5)), RNG.integers(0, 5, (4, 6))


def looped(lengths):
    log_p = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    return [-sum(log_p[n, t, TOKENS[n, t + 1]] for t in range(size - 1)) for n, size in enumerate(lengths)]


def test_each_position_predicts_the_token_behind_it(x64):
    losses, counts = next_token_losses(jnp.asarray(LOGITS), jnp.asarray(TOKENS))
    np.testing.assert_allclose(losses, looped([6] * 4), rtol=1e-12)
    np.testing.assert_array_equal(counts, [5] * 4)


def test_tokens_behind_a_length_change_nothing(x64):
    lengths = jnp.asarray([6, 3, 1, 0])

    def total(logits, tokens):
        losses, counts = next_token_losses(logits, tokens, lengths)
        return losses.sum(), (losses, counts)

    behind = np.arange(6) >= np.array([6, 3, 1, 0])[:, None]
    spoilt = np.where(behind[..., None], np.nan, LOGITS), np.where(behind, 99, TOKENS)
    for logits, tokens in ((LOGITS, TOKENS), spoilt):
        (_, (losses, counts)), gradient = jax.value_and_grad(total, has_aux=True)(
            jnp.asarray(logits), jnp.asarray(tokens)
        )
        np.testing.assert_allclose(losses, looped([6, 3, 1, 0]), rtol=1e-12)
        np.testing.assert_array_equal(counts, [5, 2, 0, 0])
    gradient = jax.grad(lambda x: total(x, jnp.asarray(TOKENS))[0])(jnp.asarray(LOGITS))
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(np.asarray(gradient)[1, 2:], 0)
    assert np.abs(gradient[0, :5]).min() > 0


def test_a_token_outside_the_vocabulary_is_nan():
    for token in (-1, 5):
        losses, _ = next_token_losses(jnp.asarray(LOGITS), jnp.asarray(TOKENS).at[1, 2].set(token))
        np.testing.assert_array_equal(np.isnan(losses), [False, True, False, False])


@pytest.mark.parametrize("dtype", ["uint8", "uint32"])
def test_lengths_of_any_integer_type_are_counted(dtype):
    """300 tokens are more than uint8 holds, and 0 - 1 is no unsigned number."""
    logits, tokens = jnp.zeros((2, 300, 4)), jnp.ones((2, 300), int)
    losses, counts = next_token_losses(logits, tokens, np.array([200, 0], dtype), np.array([2, 1], dtype))
    np.testing.assert_array_equal(counts, [198, 0])
    np.testing.assert_allclose(losses, [198 * np.log(4), 0], rtol=1e-5)


def test_wrong_arrays_are_named():
    logits, tokens = jnp.asarray(LOGITS), jnp.asarray(TOKENS)
    with pytest.raises(ValueError, match=r"expected logits float \[N, L, K\], got float32 \[4, 6\]"):
        next_token_losses(logits[..., 0], tokens)
    with pytest.raises(TypeError, match=r"expected logits float \[N, L, K\], got int32 \[4, 6, 5\]"):
        next_token_losses(logits.astype(int), tokens)
    with pytest.raises(ValueError, match=r"expected tokens int \[4, 6\], got \[4, 5\]"):
        next_token_losses(logits, tokens[:, 1:])
    with pytest.raises(TypeError, match=r"expected lengths int \[4\], got float32 \[4\]"):
        next_token_losses(logits, tokens, jnp.ones(4))


def test_tokens_of_the_context_are_not_predicted(x64):
    context = jnp.asarray([1, 3, 0, 6])
    losses, counts = next_token_losses(jnp.asarray(LOGITS), jnp.asarray(TOKENS), jnp.asarray([6, 5, 6, 6]), context)
    whole, ends = np.array(looped([6] * 4)), np.array(looped([6, 3, 1, 6]))
    shorter = np.array(looped([6, 5, 6, 6]))
    np.testing.assert_allclose(losses, [whole[0], shorter[1] - ends[1], whole[2], 0], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(counts, [5, 2, 5, 0])
