"""Stems: their two outputs, pools, and endings without norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models import create_model, shapes
from resnet_jax.models.context import BlockContext
from resnet_jax.models.stems import (
    STEMS,
    AveragePool,
    CifarStem,
    ConvPool,
    DeepStem,
    ImageNetStem,
    MaxBlurPool,
    MaxPool,
    PaddedMaxPool,
)

CONTEXT = BlockContext()
X = np.random.default_rng(0).standard_normal((2, 9, 12, 3)).astype(np.float32)


def outputs(module, x):
    return jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), jnp.asarray(x)))


@pytest.mark.parametrize("name", STEMS)
@pytest.mark.parametrize("sides", [(32,), (32, 64), (32, 64, 96)], ids=str)
def test_stage_1_gets_a_map_that_is_smaller_by_the_stems_strides(name, sides):
    stem = STEMS[name](CONTEXT, 8)
    (feature, x), _ = outputs(stem, np.zeros((1, *sides, 3)))
    assert x.shape == (1, *(side // stem.total_strides for side in sides), 8)
    assert feature.shape == (1, *(side // min(stem.total_strides, 2) for side in sides), 8)


@pytest.mark.parametrize(("stem", "norms"), [(ImageNetStem, []), (CifarStem, []), (DeepStem, ["norm1", "norm2"])])
def test_a_bare_stem_ends_with_a_convolution(stem, norms):
    _, variables = outputs(stem(CONTEXT, 8, bare=True), X)
    assert [name for name in sorted(variables["params"]) if name.startswith("norm")] == norms


def test_a_deep_stem_has_three_convolutions_of_its_widths():
    _, variables = outputs(DeepStem(CONTEXT, 16, widths=(4, 8)), X)
    shapes = [variables["params"][f"conv{i}"]["kernel"].shape for i in (1, 2, 3)]
    assert shapes == [(3, 3, 3, 4), (3, 3, 4, 8), (3, 3, 8, 16)]


def test_a_stem_by_name_ends_like_the_nets_stem():
    """Stems of pre-activation nets have no norm and activation at the end."""
    for name, norms in (("resnet50", 1), ("resnetv2_50", 0)):
        params = shapes(create_model(name, stem="cifar"), 32).variables["params"]
        assert set(params["stem"]) == {"conv", *["norm"] * norms}


def windows(x, size, fill):
    """The windows of stride 2 of a padded map: [N, H', W', size * size, C]."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::2, ::2]
    return np.moveaxis(views, 3, -1).reshape(*views.shape[:3], size * size, -1)


@pytest.mark.parametrize(("pool", "fill"), [(MaxPool, -np.inf), (PaddedMaxPool, 0)])
def test_the_border_of_a_max_pool_is_minus_infinity_or_0(pool, fill):
    x = X - 3  # mostly below 0: zeros at the border are the largest
    np.testing.assert_array_equal(pool(CONTEXT).apply({}, jnp.asarray(x)), windows(x, 3, fill).max(-2))


def test_an_average_pool_has_windows_of_two_by_two():
    expected = X[:, :8].reshape(2, 4, 2, 6, 2, 3).mean((2, 4))
    np.testing.assert_allclose(AveragePool(CONTEXT).apply({}, jnp.asarray(X)), expected, rtol=1e-5, atol=1e-6)


def test_a_blurred_max_pool_keeps_a_constant_and_halves_the_map():
    y = MaxBlurPool(CONTEXT).apply({}, jnp.full((1, 9, 12, 2), -3.0))
    np.testing.assert_array_equal(y, np.full((1, 5, 6, 2), -3.0))


def test_a_convolution_pools_with_a_norm_and_an_activation():
    y, variables = outputs(ConvPool(CONTEXT), X)
    assert y.shape == (2, 5, 6, 3) and variables["params"]["conv"]["kernel"].shape == (3, 3, 3, 3)
    assert set(variables["params"]["norm"]) == {"scale", "bias"}
