from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from box_cases import FILE, maps

from resnet_jax.ops.resize import resize


def test_equals_pytorch_and_its_gradient_is_the_transpose(x64, strict_dtypes):
    """A linear map's transpose: <resize(x), y> = <x, gradient(y)>."""
    with np.load(FILE) as expected:
        for name, (x, size, method, align_corners) in maps():
            run = partial(resize, size=size, method=method, align_corners=align_corners)
            y, transpose = jax.vjp(run, jnp.asarray(x))
            np.testing.assert_allclose(y, expected[name], atol=1e-13, err_msg=name)
            other = np.random.default_rng(1).standard_normal(y.shape)
            np.testing.assert_allclose((y * other).sum(), (transpose(jnp.asarray(other))[0] * x).sum(), rtol=1e-10)


def test_types_batches_and_the_same_size(strict_dtypes):
    x = jnp.arange(24, dtype=jnp.bfloat16).reshape(1, 2, 3, 4)
    assert resize(x, (2, 3)) is x
    for method in ("bilinear", "nearest"):
        run = partial(resize, size=(3, 5), method=method)
        assert run(x).dtype == jnp.bfloat16
        assert jax.vmap(run)(x[None]).shape == (1, 1, 3, 5, 4)
        gradient = jax.vjp(run, x)[1](jnp.ones((1, 3, 5, 4), jnp.bfloat16))[0]
        assert gradient.dtype == jnp.bfloat16 and gradient.sum() == 60


def test_other_methods_raise():
    with pytest.raises(ValueError, match='expected method "bilinear" or "nearest", got \'cubic\''):
        resize(jnp.zeros((1, 2, 2, 1)), (3, 3), "cubic")
    with pytest.raises(ValueError, match='expected align_corners=False with method "nearest", got True'):
        resize(jnp.zeros((1, 2, 2, 1)), (3, 3), "nearest", align_corners=True)
