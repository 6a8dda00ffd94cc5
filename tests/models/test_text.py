"""CLIP's text tower."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.text import TextTransformer

SMALL = TextTransformer(features=6, width=8, heads=2, layers=2, context_length=7, vocabulary_size=20)
TOKENS = np.array([[18, 3, 4, 19, 0, 0, 0], [18, 19, 0, 0, 0, 0, 0], [18, 5, 6, 7, 8, 9, 19]], np.int32)


@cache
def variables():
    return SMALL.init(jax.random.key(0), TOKENS)


@cache
def program(act="quick_gelu", remat="none"):
    return jax.jit(SMALL.clone(act=act, remat=remat).apply)


def test_features_are_those_of_the_end_and_depend_on_nothing_behind_it():
    features = program()(variables(), TOKENS)
    assert features.shape == (3, 6) and features.dtype == jnp.float32
    padded = np.where(np.arange(7) > TOKENS.argmax(1)[:, None], 11, TOKENS)
    np.testing.assert_array_equal(program()(variables(), padded), features)
    np.testing.assert_allclose(SMALL.apply(variables(), TOKENS[:2, :4]), features[:2], rtol=1e-5)


def test_every_token_before_the_end_counts():
    features = program()(variables(), TOKENS)
    for place in (0, 1, 2):
        other = TOKENS.copy()
        other[0, place] = 12
        changed = program()(variables(), other) != features
        assert changed[0].all() and not changed[1:].any()


def test_the_two_activations_differ():
    exact, quick = (program(act)(variables(), TOKENS) for act in ("gelu", "quick_gelu"))
    difference = np.abs(exact - quick).max()
    assert 1e-5 < difference < 0.1


def test_recomputed_activations_give_the_same_gradient():
    def gradient(remat):
        def loss(params):
            return jnp.square(SMALL.clone(remat=remat).apply({"params": params}, TOKENS)).sum()

        return jax.jit(jax.grad(loss))(variables()["params"])

    plain, recomputed = gradient("none"), gradient("block")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), plain, recomputed)
    for path, x in jax.tree.leaves_with_path(plain):
        assert np.abs(x).max() > 0, path


def test_half_precision_keeps_features_in_float32():
    half = SMALL.clone(dtype=jnp.bfloat16)
    features = half.apply(variables(), TOKENS)
    assert features.dtype == jnp.float32
    np.testing.assert_allclose(features, program()(variables(), TOKENS), atol=0.05)


@pytest.mark.parametrize(
    ("tokens", "kind", "message"),
    [
        ([[1, 2]], TypeError, r"expected tokens int \[N, L\] with L from 1 to 7, got list"),
        (np.zeros((1, 3), np.float32), TypeError, r"got float32 \[1, 3\]"),
        (np.zeros((1, 8), np.int32), ValueError, r"with L from 1 to 7, got int32 \[1, 8\]"),
        (np.zeros((3,), np.int32), ValueError, r"tokens\[None\] is a batch of one"),
    ],
)
def test_other_tokens_are_refused(tokens, kind, message):
    with pytest.raises(kind, match=message):
        SMALL.apply(variables(), tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "^heads: expected a divisor of the width 8, got 3$"),
        ({"layers": 0}, "^layers: expected a whole number, at least 1, got 0$"),
        ({"act": "relu"}, "^act: expected quick_gelu or gelu, got 'relu'$"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SMALL.clone(**options)


def test_texts_may_be_sharded_over_an_explicit_axis():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,), devices=jax.devices()[:2])
    expected = program()(variables(), TOKENS[:2])
    with jax.set_mesh(mesh):
        tokens = jax.device_put(TOKENS[:2], jax.NamedSharding(mesh, jax.P("data")))
        features = jax.jit(SMALL.apply)(jax.device_put(variables(), jax.NamedSharding(mesh, jax.P())), tokens)
    np.testing.assert_allclose(features, expected, rtol=1e-5)
