from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from resnet_jax.models import create_model
from resnet_jax.models.layers import BatchNorm, BiasedConv, CondConv, Conv, GroupNorm, StandardizedConv

X = np.random.default_rng(0).standard_normal((8, 4, 4, 3)) * 3 + 1


def moved(norm, x, devices=1):
    """Output and statistics after one training pass over `devices` shards."""
    variables = norm.init(jax.random.key(0), jnp.asarray(x), use_batch_statistics=False)

    def step(x):
        y, updated = norm.apply(variables, x, use_batch_statistics=True, mutable=["batch_stats"])
        return y, jax.tree.map(lambda s: s[None], updated["batch_stats"])

    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    y, stats = jax.shard_map(step, mesh=mesh, in_specs=P("data"), out_specs=P("data"), check_vma=False)(jnp.asarray(x))
    return np.asarray(y), jax.tree.map(np.asarray, stats)


def test_running_statistics_move_by_a_tenth_and_hold_the_biased_variance(x64):
    norm = BatchNorm(dtype=jnp.float64, param_dtype=jnp.float64)
    _, stats = moved(norm, X)
    np.testing.assert_allclose(stats["mean"][0], 0.1 * X.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(stats["var"][0], 0.9 + 0.1 * X.var((0, 1, 2)), rtol=1e-12)


def test_epsilon_is_pytorchs(x64):
    norm = BatchNorm(dtype=jnp.float64, param_dtype=jnp.float64)
    y, _ = moved(norm, X * 1e-3)  # small values, so that the constant shows
    np.testing.assert_allclose(y, (X - X.mean((0, 1, 2))) / np.sqrt(X.var((0, 1, 2)) + 1e-5 * 1e6), rtol=1e-9)


@pytest.mark.parametrize(("group", "sharing"), [(None, 4), (2, 2), (1, 1)])
def test_statistics_are_shared_by_the_group(x64, group, sharing):
    norm = BatchNorm(axis_name="data", group_size=group, dtype=jnp.float64, param_dtype=jnp.float64)
    y, stats = moved(norm, X, devices=4)
    groups = X.reshape(4 // sharing, -1, 3)
    mean, var = groups.mean(1, keepdims=True), groups.var(1, keepdims=True)
    np.testing.assert_allclose(y.reshape(groups.shape), (groups - mean) / np.sqrt(var + 1e-5), rtol=1e-9)
    np.testing.assert_allclose(stats["mean"], np.repeat(0.1 * mean[:, 0], sharing, 0), rtol=1e-9)


def test_a_group_that_does_not_divide_the_axis_is_refused():
    with pytest.raises(ValueError, match="bn_group_size: expected a divisor of the 4 devices of axis 'data', got 3"):
        moved(BatchNorm(axis_name="data", group_size=3), X, devices=4)


def test_statistics_stay_float32_under_bfloat16():
    norm = BatchNorm(dtype=jnp.bfloat16)
    x = jnp.asarray(X, jnp.bfloat16)
    variables = norm.init(jax.random.key(0), x, use_batch_statistics=False)
    y, updated = norm.apply(variables, x, use_batch_statistics=True, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert {s.dtype for s in jax.tree.leaves((variables, updated))} == {jnp.dtype("float32")}
    exact = np.asarray(x, np.float64).var((0, 1, 2))
    np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * exact, rtol=1e-6)


def test_layers_are_plain_linen_modules():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return BatchNorm()(Conv(5, strides=2)(x), use_batch_statistics=False)

    y, variables = Net().init_with_output(jax.random.key(0), jnp.asarray(X, jnp.float32))
    assert y.shape == (8, 2, 2, 5)
    assert set(variables) == {"params", "batch_stats"}


DOUBLE = {"dtype": jnp.float64, "param_dtype": jnp.float64}
SHAPES = {"1x1": {"kernel_size": 1}, "3x3": {"kernel_size": 3, "strides": 2}}
SHAPES |= {"grouped": {"kernel_size": 3, "groups": 2}, "depthwise": {"kernel_size": 5, "groups": 6, "dilation": 2}}


def random_variables(module, *args):
    rng = np.random.default_rng(3)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *args))
    return jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), shapes)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_expert_with_route_1_is_the_ordinary_convolution(x64, shape):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 7, 8, 6)))
    ordinary, conditional = Conv(6, **SHAPES[shape], **DOUBLE), CondConv(6, **SHAPES[shape], **DOUBLE, experts=1)
    variables = random_variables(ordinary, x)
    experts = jax.tree.map(lambda kernel: kernel[None], variables)
    got = conditional.apply(experts, x, jnp.ones((3, 1)))
    np.testing.assert_allclose(got, ordinary.apply(variables, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_example_is_convolved_by_its_own_sum_of_experts(x64, shape):
    """The experts' weights are sigmoid(W mean(x)) (Yang et al. 2019, eq. 2)."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 7, 8, 6)))
    layer = CondConv(12, **SHAPES[shape], **DOUBLE, experts=4)
    variables = random_variables(layer, x)
    got = layer.apply(variables, x)
    params = jax.tree.map(np.asarray, variables["params"])
    kernels, routing = params["kernel"], params["routing"]
    routes = 1 / (1 + np.exp(-(np.asarray(x).mean((1, 2)) @ routing["kernel"] + routing["bias"])))
    for n in range(3):
        kernel = np.einsum("e,ehwio->hwio", routes[n], kernels)
        alone = Conv(12, **SHAPES[shape], **DOUBLE).apply({"params": {"kernel": jnp.asarray(kernel)}}, x[n : n + 1])
        np.testing.assert_allclose(got[n], alone[0], rtol=0, atol=1e-12)


def test_kernels_per_example_are_one_grouped_convolution_whatever_the_batch():
    layer = CondConv(8, 3, experts=2)

    def operations(n):
        x = jnp.zeros((n, 8, 8, 4))
        return str(jax.make_jaxpr(layer.apply)(random_variables(layer, x), x)).count("conv_general_dilated[")

    assert operations(2) == operations(16) == 1  # on a CPU, matrix products replace it


def test_any_net_takes_conditional_convolutions():
    net = recipe.small("resnet18", 1, conv=CondConv)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 32, 32, 3)), jnp.float32)
    variables = recipe.variables(net)
    assert variables["params"]["stage2_block0"]["shortcut"]["conv"]["kernel"].shape == (4, 1, 1, 64, 128)
    assert np.isfinite(jax.jit(lambda v: net.apply(v, x, train=False).logits)(variables)).all()
    assert create_model("resnet18", conv=CondConv) == create_model("resnet18", conv=CondConv)


def test_a_biased_convolution_adds_its_bias(x64):
    layer = BiasedConv(5, 3, bias_init=nn.initializers.constant(2.0), **DOUBLE)
    params = layer.init(jax.random.key(0), jnp.asarray(X))["params"]
    plain = Conv(5, 3, **DOUBLE).apply({"params": {"kernel": params["kernel"]}}, jnp.asarray(X))
    np.testing.assert_array_equal(layer.apply({"params": params}, jnp.asarray(X)), plain + 2)


def test_standardised_kernels_have_mean_0_and_variance_1(x64):
    """So neither shifting nor scaling the parameter changes the output."""
    x = jnp.asarray(X)
    layer = StandardizedConv(5, 3, **DOUBLE)
    variables = random_variables(layer, x)
    kernel = np.asarray(variables["params"]["kernel"])
    standardized = (kernel - kernel.mean((0, 1, 2))) / np.sqrt(kernel.var((0, 1, 2)) + 1e-8)
    plain = Conv(5, 3, **DOUBLE).apply({"params": {"kernel": jnp.asarray(standardized)}}, x)
    np.testing.assert_allclose(layer.apply(variables, x), plain, rtol=0, atol=1e-12)
    moved = {"params": {"kernel": jnp.asarray(3 * kernel + 2)}}
    np.testing.assert_allclose(layer.apply(moved, x), plain, rtol=1e-7, atol=1e-7)  # but for epsilon


def test_group_norm_normalises_each_example_and_group(x64):
    x = np.random.default_rng(1).standard_normal((3, 4, 5, 8)) * 2 + 1
    norm = GroupNorm(groups=4, **DOUBLE)
    variables = jax.tree.map(jnp.asarray, {"params": {"scale": np.arange(1.0, 9), "bias": np.arange(8.0)}})
    got = norm.apply(variables, jnp.asarray(x), use_batch_statistics=True)
    grouped = x.reshape(3, 4, 5, 4, 2)
    mean, var = grouped.mean((1, 2, 4), keepdims=True), grouped.var((1, 2, 4), keepdims=True)
    expected = ((grouped - mean) / np.sqrt(var + 1e-5)).reshape(x.shape) * np.arange(1, 9) + np.arange(8)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match=r"expected groups that divide 12 channels, got 32; did you mean 12\?"):
        GroupNorm().init(jax.random.key(0), jnp.zeros((1, 2, 2, 12)), use_batch_statistics=True)


def test_rows_of_weight_0_change_no_batch_statistics(x64):
    norm = BatchNorm(dtype=jnp.float64, param_dtype=jnp.float64)
    variables = norm.init(jax.random.key(0), jnp.asarray(X), use_batch_statistics=False)
    padded, weights = jnp.concatenate([X, 100 + X[:3]]), jnp.arange(11) < 8
    run = partial(norm.apply, variables, use_batch_statistics=True, mutable=["batch_stats"])
    y, updated = run(padded, weights=weights)
    expected, statistics = run(jnp.asarray(X))
    np.testing.assert_allclose(y[:8], expected, rtol=0, atol=1e-12)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12), updated, statistics)
    y, updated = run(padded, weights=jnp.zeros(11))
    assert jnp.isfinite(y).all()
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], variables["batch_stats"])


def test_a_norm_that_is_not_affine_has_statistics_and_no_parameters(x64):
    plain, affine = (
        BatchNorm(is_affine=is_affine, dtype=jnp.float64, param_dtype=jnp.float64) for is_affine in (False, True)
    )
    x = jnp.asarray(X)
    variables = plain.init(jax.random.key(0), x, use_batch_statistics=False)
    assert set(variables) == {"batch_stats"}
    others = affine.init(jax.random.key(0), x, use_batch_statistics=False)  # a scale of 1 and a bias of 0
    ours, theirs = (
        norm.apply(arrays, x, use_batch_statistics=True, mutable=["batch_stats"])
        for norm, arrays in ((plain, variables), (affine, others))
    )
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
