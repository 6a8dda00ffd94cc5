import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.models.initializers import depthwise_normal, kaiming_normal
from resnet_jax.models.layers import Conv, Dense


def test_convolutions_start_with_variance_2_over_fan_out():
    kernel = Conv(256, 3).init(jax.random.key(0), jnp.zeros((1, 4, 4, 64)))["params"]["kernel"]
    assert kernel.shape == (3, 3, 64, 256)
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 256)), rtol=0.01)
    assert abs(kernel.mean()) < 5 * kernel.std() / np.sqrt(kernel.size)


def test_depthwise_kernels_start_with_variance_2_over_their_size():
    kernel = depthwise_normal(jax.random.key(0), (5, 5, 1, 512))
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / 25), rtol=0.02)
    np.testing.assert_allclose(kernel, kaiming_normal(jax.random.key(0), (5, 5, 1, 512)) * np.sqrt(512), rtol=1e-6)


def test_dense_starts_as_pytorchs_linear():
    params = Dense(100).init(jax.random.key(0), jnp.zeros((1, 400)))["params"]
    assert np.abs(params["kernel"]).max() <= 1 / np.sqrt(400)
    np.testing.assert_allclose(params["kernel"].std(), 1 / np.sqrt(3 * 400), rtol=0.01)
    np.testing.assert_array_equal(params["bias"], 0)
