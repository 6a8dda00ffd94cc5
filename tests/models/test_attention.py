"""Channel attention, from its equations in NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.models.attention import EfficientChannelAttention, SelectiveKernel, SqueezeExcite, divisible
from resnet_jax.models.context import BlockContext

CONTEXT = BlockContext(dtype=jnp.float64, param_dtype=jnp.float64)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 6, 16))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def output_and_params(module, x):
    """The output for random parameters, and these by path; norms keep their first statistics."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.asarray(x)))
    params = {path: RNG.standard_normal(leaf.shape) for path, leaf in flatten_dict(shapes["params"]).items()}
    stats = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes.get("batch_stats", {}))
    variables = {"params": jax.tree.map(jnp.asarray, unflatten_dict(params)), "batch_stats": stats}
    y = jax.jit(module.apply)(variables, jnp.asarray(x))
    return np.asarray(y), {"/".join(path): leaf for path, leaf in params.items()}


@pytest.mark.parametrize("x", [X, X[:, 0]], ids=["image", "series"])
@pytest.mark.parametrize(("options", "rows"), [({}, 8), ({"ratio": 1 / 2}, 8), ({"reduced": 3}, 3)])
def test_squeeze_excite_is_its_equation(x64, x, options, rows):
    y, p = output_and_params(SqueezeExcite(CONTEXT, 16, **options), x)
    assert p["fc1/kernel"].shape == (16, rows)
    means = x.mean(tuple(range(1, x.ndim - 1)))
    hidden = np.maximum(means @ p["fc1/kernel"] + p["fc1/bias"], 0)
    gates = sigmoid(hidden @ p["fc2/kernel"] + p["fc2/bias"])
    np.testing.assert_allclose(y, x * np.expand_dims(gates, tuple(range(1, x.ndim - 1))), rtol=1e-12)


@pytest.mark.parametrize(("channels", "taps"), [(8, 3), (64, 3), (256, 5), (512, 5), (2048, 7)])
def test_channel_attention_is_its_equation_with_the_papers_number_of_taps(x64, channels, taps):
    x = RNG.standard_normal((2, 3, 3, channels))
    y, p = output_and_params(EfficientChannelAttention(CONTEXT, channels), x)
    assert p["kernel"].shape == (taps, 1, 1)
    sums = [np.convolve(row, p["kernel"].ravel()[::-1], "same") for row in x.mean((1, 2))]
    np.testing.assert_allclose(y, x * sigmoid(np.array(sums))[:, None, None], rtol=1e-12)


def test_a_selective_kernel_mixes_two_dilations_by_a_softmax(x64):
    """With kernels that are 1 at their middle, both paths see the input alone, and the gates add up to 1."""
    x = np.abs(X)
    module = SelectiveKernel(CONTEXT, 16)
    init, apply = partial(module.init, jax.random.key(0)), jax.jit(module.apply)
    variables = jax.tree.map(lambda leaf: 0.1 * RNG.random(leaf.shape), jax.eval_shape(init, jnp.asarray(x)))
    for name in ("norm_0", "norm_1"):
        variables["params"][name] = {"scale": np.ones(16), "bias": np.zeros(16)}
        variables["batch_stats"][name] = {"mean": np.zeros(16), "var": np.ones(16) - 1e-5}
    middle = np.zeros((3, 3, 16, 16))
    middle[1, 1] = np.eye(16)
    variables["params"] |= {"conv_0": {"kernel": middle}, "conv_1": {"kernel": middle}}
    np.testing.assert_allclose(apply(variables, x), x, rtol=1e-12)
    variables["params"]["conv_1"] = {"kernel": 2 * middle}
    mixed = np.asarray(apply(variables, x)) / x  # 1 to 2: a gate for each example and channel
    assert (mixed > 1).all() and (mixed < 2).all()
    np.testing.assert_allclose(mixed, np.broadcast_to(mixed[:, :1, :1], x.shape), rtol=1e-9)


def test_a_split_selective_kernel_gives_each_path_half_of_the_channels():
    shapes = jax.eval_shape(partial(SelectiveKernel(BlockContext(), 8, 2, split=True).init, jax.random.key(0)), X)[
        "params"
    ]
    assert shapes["conv_0"]["kernel"].shape == shapes["conv_1"]["kernel"].shape == (3, 3, 8, 8)
    assert shapes["reduce"]["kernel"].shape == (1, 1, 8, 32) and shapes["select"]["kernel"].shape == (1, 1, 32, 16)


@pytest.mark.parametrize(("channels", "expected"), [(3, 8), (11.9, 8), (12, 16), (20, 24), (19.9, 16)])
def test_channels_are_rounded_to_the_nearest_multiple_of_8(channels, expected):
    assert divisible(channels) == expected
