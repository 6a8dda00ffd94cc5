"""Nets in NNX, Flax's newer interface, through Flax's bridge. See docs/backbones.md."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import recipe
from flax import nnx

from resnet_jax.models import shapes

X = jnp.asarray(np.random.default_rng(0).standard_normal((4, 8, 8, 3)), jnp.float32)
Y = jnp.arange(4) % 3
NETS = ["resnet50d", "resnet50_clip", "tf_efficientnet_cc_b0_4e", "cifar_skipnet38_rnn", "skresnet18", "resnet50_gn"]


def bridged(name, **options):
    """A linen net and its twin in NNX."""
    net = recipe.small(name, 1, stages=2, num_classes=3, **options)
    twin = nnx.bridge.ToNNX(net, rngs=nnx.Rngs(0)).lazy_init(X, train=False)
    return net, twin


def variables(twin):
    """An NNX net's state as linen's params and batch_stats."""
    kinds = {"params": nnx.Param, "batch_stats": nnx.BatchStat}
    return {name: nnx.to_pure_dict(nnx.state(twin, kind)) for name, kind in kinds.items()}


@pytest.mark.parametrize("name", NETS)
def test_no_submodule_has_the_name_of_an_attribute_of_the_class(name):
    """The bridge would take such an attribute for a method of the net."""
    net = recipe.small(name, 1)
    assert not [child for child in shapes(net, 64).variables["params"] if hasattr(type(net), child)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_every_kind_of_net_gives_the_logits_of_the_linen_net(name):
    net, images = recipe.small(name, 1, num_classes=3), X.repeat(4, 1).repeat(4, 2)  # 32 pixels
    net = net.clone(stages=net.stages[-2:])
    twin = nnx.bridge.ToNNX(net, rngs=nnx.Rngs(0)).lazy_init(images, train=False)
    logits = nnx.jit(lambda twin: twin(images, train=False).logits)(twin)
    expected = jax.jit(lambda variables: net.apply(variables, images, train=False).logits)(variables(twin))
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_outputs_gradients_and_statistics_are_those_of_the_linen_net():
    net, twin = bridged("cifar_resnet8")
    initial = variables(twin)
    assert initial["params"].keys() >= {"stem", "head", "stage1_block0"}
    assert twin(X, train=False).logits.shape == (4, 3)
    np.testing.assert_allclose(
        twin(X, train=False).logits, net.apply(initial, X, train=False).logits, rtol=1e-5, atol=1e-6
    )

    def loss(logits):
        return optax.softmax_cross_entropy_with_integer_labels(logits, Y).mean()

    def linen_loss(params):
        outputs, updated = net.apply({**initial, "params": params}, X, train=True, mutable=["batch_stats"])
        return loss(outputs.logits), updated["batch_stats"]

    def nnx_loss(twin):
        return loss(twin(X, train=True, mutable=["batch_stats"]).logits)

    gradient, statistics = jax.jit(jax.grad(linen_loss, has_aux=True))(initial["params"])
    nnx_gradient = nnx.to_pure_dict(nnx.jit(nnx.grad(nnx_loss))(twin))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), nnx_gradient, gradient)
    updated = variables(twin)["batch_stats"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), updated, statistics)


def test_three_steps_train():
    _, twin = bridged("cifar_resnet8", drop_rate=0.1)
    optimizer = nnx.Optimizer(twin, optax.adam(1e-2), wrt=nnx.Param)
    before = variables(twin)["batch_stats"]["stem"]["norm"]["mean"]

    @nnx.jit
    def step(net, optimizer, x, y):
        def loss(net):
            logits = net(x, train=True, mutable=["batch_stats"], rngs=nnx.Rngs(dropout=1)).logits
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        value, gradient = nnx.value_and_grad(loss)(net)
        optimizer.update(net, gradient)
        return value

    losses = [float(step(twin, optimizer, X, Y)) for _ in range(3)]
    assert losses[2] < losses[0]
    assert np.abs(variables(twin)["batch_stats"]["stem"]["norm"]["mean"] - before).max() > 0
