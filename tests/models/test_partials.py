"""A net is a value: equal arguments, copies and pickles give equal nets, and none is compiled twice."""

import copy
import pickle
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax import ops
from resnet_jax.models import ResNet, Stage, create_model, list_models
from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Bottleneck
from resnet_jax.models.layers import BatchNorm, Conv
from resnet_jax.models.partials import Partial
from resnet_jax.models.stems import DeepStem


def test_copied_and_pickled_nets_are_equal_and_hash_alike():
    for name in list_models():
        net = create_model(name)
        for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), copy.copy(net), create_model(name)):
            assert again == net and hash(again) == hash(net), name


def test_a_copy_is_not_compiled_again():
    traced = []

    @partial(jax.jit, static_argnums=0)
    def run(net, x):
        traced.append(net)
        return x + net.num_classes

    net = create_model("resnet50d", num_classes=7)
    for same in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net)), create_model("resnet50d", num_classes=7)):
        run(same, 1)
    assert len(traced) == 1


def test_plain_partials_and_activations_compare_by_value():
    def net():
        block = partial(partial(Residual, branch=partial(Bottleneck, groups=2)), features=8)
        return ResNet(
            stages=[Stage(1, 8, 1, block)],
            stem=partial(DeepStem, widths=[4, 4]),
            conv=partial(Conv, same=True),
            norm=partial(BatchNorm, epsilon=1e-3),
            act=nn.relu,
        )

    assert net() == net() == copy.deepcopy(net()) == pickle.loads(pickle.dumps(net()))
    assert hash(net()) == hash(copy.deepcopy(net()))
    assert net() != net().clone(norm=partial(BatchNorm, epsilon=1e-4))
    assert net().clone(norm=partial(BatchNorm, epsilon=1e-3)) == net()


def test_compiled_functions_are_stored_by_name():
    functions = (
        jax.nn.leaky_relu,
        jax.nn.mish,
        jax.nn.hard_swish,
        jax.nn.softplus,
        jnp.tanh,
        jax.nn.gelu,
        jax.nn.relu,
    )
    for act in (*functions, *(partial(act) for act in functions), partial(nn.leaky_relu, negative_slope=0.2)):
        net = create_model("cifar_resnet8", act=act)
        for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), create_model("cifar_resnet8", act=act)):
            assert again == net and hash(again) == hash(net), act
        np.testing.assert_allclose(net.act(jnp.arange(-2.0, 3)), act(jnp.arange(-2.0, 3)))
    assert create_model("cifar_resnet8", act=partial(jax.nn.relu)).act == Partial(ops.relu)
    assert create_model("cifar_resnet8", act=abs).act is abs
    local = jax.jit(lambda x: x)
    assert create_model("cifar_resnet8", act=local).act is local


def test_a_partial_compares_by_its_arguments_and_has_them_as_attributes():
    assert Partial(Partial(dict, a=1), b=2) == Partial(dict, b=2, a=1) != Partial(dict, a=1)
    assert Partial(dict, a=1) != partial(dict, a=1)
    assert Partial(dict, a=1)(b=2) == {"a": 1, "b": 2}
    assert hash(Partial(dict, [1])) == hash(Partial(dict, [1]))
    stem = Partial(Partial(DeepStem, bare=True), widths=(4, 4))
    assert (stem.bare, stem.widths, stem.total_strides) == (True, (4, 4), 4)
    assert not hasattr(stem, "wdths") and not hasattr(Partial(abs), "bare")
