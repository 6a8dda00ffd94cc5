"""The product of a dense layer."""

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops import dense, tally_macs


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 4, 5)], ids=str)
def test_the_last_axis_is_multiplied_and_every_row_counts(shape, strict_dtypes):
    rng, counts = np.random.default_rng(0), []
    x, kernel = rng.standard_normal(shape).astype(np.float32), rng.standard_normal((5, 7)).astype(np.float32)
    with tally_macs(lambda macs, other: counts.append((macs, other))):
        y = dense(jnp.asarray(x), jnp.asarray(kernel))
    np.testing.assert_allclose(y, np.einsum("...i,io->...o", x, kernel), rtol=1e-5, atol=1e-6)
    assert counts == [(x.size * 7, False)]
