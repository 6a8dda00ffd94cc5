import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe

from resnet_jax.models.initializers import (
    KERNELS,
    depthwise_normal,
    gated_normal,
    kaiming_normal,
    scaled_normal,
    with_kernels,
)
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


def test_gated_kernels_start_with_variance_4_over_fan_in():
    kernel = gated_normal(jax.random.key(0), (5, 64, 32))
    np.testing.assert_allclose(kernel.std(), np.sqrt(4 / (5 * 64)), rtol=0.02)
    np.testing.assert_allclose(scaled_normal(jax.random.key(0), (99, 99), deviation=0.1).std(), 0.1, rtol=0.02)


def test_dense_starts_as_pytorchs_linear():
    params = Dense(100).init(jax.random.key(0), jnp.zeros((1, 400)))["params"]
    assert np.abs(params["kernel"]).max() <= 1 / np.sqrt(400)
    np.testing.assert_allclose(params["kernel"].std(), 1 / np.sqrt(3 * 400), rtol=0.01)
    np.testing.assert_array_equal(params["bias"], 0)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_initialised_as_configured(name):
    """Of a 3x3 convolution from 16 to 64 channels: 144 in, 576 out."""
    expected = {"fan_out": 2 / 576, "fan_in": 2 / 144, "lecun": 1 / 144, "small": 1e-4, "large": 1.0}[name]
    kernel = KERNELS[name](jax.random.key(0), (3, 3, 16, 64), np.float32)
    assert kernel.shape == (3, 3, 16, 64) and float(kernel.var()) == pytest.approx(expected, rel=0.05)
    model = recipe.small("cifar_resnet20", 1, num_classes=10)
    variables = jax.jit(lambda key: with_kernels(model, name).init(key, np.zeros((1, 8, 8, 3)), train=False))(
        jax.random.key(0)
    )
    kernel = variables["params"]["stage3_block0"]["branch"]["conv2"]["kernel"]  # 576 in and out
    assert float(kernel.var()) == pytest.approx(
        {"fan_out": 2 / 576, "fan_in": 2 / 576, "lecun": 1 / 576, "small": 1e-4, "large": 1.0}[name], rel=0.05
    )
