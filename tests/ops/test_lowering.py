"""`ops.plain_lowering` uses XLA's own operations only and gives the same numbers."""

import re
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from jax import export

from resnet_jax import ops
from resnet_jax.ops.lowering import lower

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 32, 32, 3)), jnp.float32)


def operations(program):
    return Counter(re.findall(r"stablehlo\.(\w+)", program))


def convolutions(variables):
    return sum(path[-1].key == "kernel" and leaf.ndim > 2 for path, leaf in jax.tree.leaves_with_path(variables))


@pytest.mark.parametrize("name", ["resnext50_32x4d", "efficientnet_lite0", "cifar_condconv20", "ecaresnet50d"])
def test_an_exported_net_has_library_convolutions_alone_and_the_same_numbers(name):
    net = recipe.small(name, 1, stages=2)
    variables = recipe.variables(net)
    forward = jax.jit(lambda variables, x: net.apply(variables, x, train=False).logits)
    default = forward(variables, X)
    with ops.plain_lowering():
        program = export.export(forward, platforms=("cpu",))(variables, X)
    counts = operations(program.mlir_module())
    dense = sum(leaf.ndim == 2 for leaf in jax.tree.leaves(variables["params"]))
    experts = convolutions(variables) if "condconv" in name else 0  # products that mix the experts' kernels
    assert counts["convolution"] == convolutions(variables), counts
    assert counts["dot_general"] == dense + experts, counts
    assert not counts["concatenate"]  # no patches, no slices of the channels
    np.testing.assert_allclose(program.call(variables, X), default, rtol=1e-4, atol=1e-5)


def test_a_training_step_too_has_library_gradients_and_the_same_numbers():
    """By default narrow, grouped and depthwise convolutions and the max pool have other gradients than XLA's."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 8, 8, 16)), jnp.float32)
    kernels = [jnp.asarray(rng.standard_normal((3, 3, 16 // groups, 16)) / 10, jnp.float32) for groups in (1, 4, 16)]

    def loss(kernels, x):
        for groups, kernel in zip((1, 4, 16), kernels, strict=True):
            x = ops.relu6(ops.relu(ops.conv(x, kernel, groups=groups)))
        return ops.global_pool(ops.max_pool(x), "max").sum()

    gradient = jax.jit(jax.grad(loss))
    default = gradient(kernels, x)
    with ops.plain_lowering():
        counts = operations(gradient.lower(kernels, x).as_text())
        plain = gradient(kernels, x)  # traced again, although it is compiled already
    assert counts["convolution"] == 3 + 3 + 2  # forward, by the kernels, by the inputs of the last two
    assert counts["select_and_scatter"] == counts["clamp"] // 3 == 1 and not counts["dot_general"], counts
    assert operations(gradient.lower(kernels, x).as_text())["select_and_scatter"] == 0
    for a, b in zip(default, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sides", [(3,), (3, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_kernels_per_example_are_the_same(x64, sides, groups):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((3, *(7,) * len(sides), 4)))
    kernels = jnp.asarray(rng.standard_normal((3, *sides, 4 // groups, 4)))
    default = ops.conv_per_example(x, kernels, groups=groups, strides=2)
    with ops.plain_lowering():
        plain = jax.jit(partial(ops.conv_per_example, groups=groups, strides=2))
        np.testing.assert_allclose(plain(x, kernels), default, rtol=0, atol=1e-12)
        is_product = groups == 1 and sides == (1, 1)
        assert operations(plain.lower(x, kernels).as_text())["convolution"] == (not is_product)


def test_activations_agree_with_their_derivatives(x64):
    x = jnp.linspace(-9.0, 9, 73)  # 0 and 6 among them
    for act in (ops.relu, ops.relu6, ops.silu):
        default = act(x), jax.vmap(jax.grad(act))(x)
        with ops.plain_lowering():
            np.testing.assert_array_equal((act(x), jax.vmap(jax.grad(act))(x)), default)


def test_a_known_platform_has_its_lowering_alone():
    def program(x):
        return lower(jnp.sin, jnp.cos, x)

    assert "platform_index" in str(jax.make_jaxpr(program)(1.0))
    for platform, expected in (("cpu", "cos"), ("gpu", "sin"), ("tpu", "sin")):
        with ops.lowering_for(platform):
            assert re.findall(r"sin|cos|platform_index", str(jax.make_jaxpr(program)(1.0))) == [expected]
        with ops.lowering_for(platform), ops.plain_lowering():
            assert re.findall(r"sin|cos|platform_index", str(jax.make_jaxpr(program)(1.0))) == ["sin"]


@pytest.mark.parametrize(("channels", "convolutions"), [(16, 3), (8, 2)])  # a stem's kernel gradient is a product
def test_convolutions_of_gradients_outside_lowering_for_are_library_calls(channels, convolutions):
    """XLA on a CPU calls Eigen for one order of axes, and brings others into it before it joins functions."""
    x, kernel = jnp.ones((2, 40, channels)), jnp.ones((3, channels, 8))
    gradient = jax.jit(jax.grad(lambda x, kernel: (ops.conv(x, kernel) ** 2).sum(), (0, 1)))
    orders = re.findall(r" convolution\(.*dim_labels=([^,\s]+)", gradient.lower(x, kernel).compile().as_text())
    assert len(orders) == convolutions and set(orders) == {"b01f_01io->b01f"}
