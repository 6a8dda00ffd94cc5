import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.context import BlockContext
from resnet_jax.models.shortcuts import ZeroPad

X = jnp.asarray(np.random.default_rng(0).standard_normal((4, 16, 16, 3)), jnp.float32)


@pytest.mark.parametrize(("behind", "first"), [(False, 1), (True, 0)])
def test_zero_padding_goes_half_on_each_side_or_all_behind(behind, first):
    y = ZeroPad(BlockContext(), 5, 2, behind=behind).apply({}, X)
    assert y.shape == (4, 8, 8, 5)
    np.testing.assert_array_equal(y[..., first : first + 3], X[:, ::2, ::2])
    np.testing.assert_array_equal(np.delete(y, range(first, first + 3), axis=-1), 0)


def test_zero_padding_cannot_take_channels_away():
    with pytest.raises(ValueError, match="zero padding: expected at least 3 output channels, got 2"):
        ZeroPad(BlockContext(), 2).apply({}, X)
