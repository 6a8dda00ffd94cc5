"""Nets of series of unequal lengths."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models import Stage
from resnet_jax.models.attention import SqueezeExcite
from resnet_jax.models.blocks import Residual
from resnet_jax.models.layers import GroupNorm
from resnet_jax.models.sequence.net import SequenceNet
from resnet_jax.models.shortcuts import PooledProject
from resnet_jax.models.stems import ImageNetStem, MaxBlurPool

LENGTHS = (23, 14, 9)
BLOCK = partial(Residual, shortcut=PooledProject)
ATTENDED = partial(BLOCK, attend=partial(SqueezeExcite, reduced=2))
NETS = {
    "series": SequenceNet(
        stages=(Stage(1, 4, 1, ATTENDED), Stage(1, 6, 2, BLOCK)), num_classes=3, in_channels=2, stem_features=4
    ),
    "spectrogram": SequenceNet(stages=(Stage(1, 4, 2, BLOCK),), num_classes=3, in_channels=1, stem_features=4),
    "groups": SequenceNet(
        stages=(Stage(1, 4, 2, BLOCK),),
        num_classes=3,
        in_channels=2,
        stem_features=4,
        norm=partial(GroupNorm, groups=2),
        global_pool="max",
    ),
}


@cache
def program(kind):
    """A net, its variables, its input, and a compiled training pass: outputs, statistics, gradient of the input."""
    net = NETS[kind]
    shape = (3, 23, 6, 1) if kind == "spectrogram" else (3, 23, 2)
    x = jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)
    variables = jax.jit(partial(net.init, train=False))(jax.random.key(0), x)

    @jax.jit
    def passes(x, lengths):
        def loss(params, x):
            outputs, updated = net.apply(
                {**variables, "params": params}, x, train=True, lengths=lengths, mutable=["batch_stats"]
            )
            return jnp.square(outputs.logits).sum(), (outputs.logits, updated)

        gradients, (logits, updated) = jax.grad(loss, (0, 1), has_aux=True)(variables["params"], x)
        return logits, updated, gradients, net.apply(variables, x, train=False, lengths=lengths).logits

    return net, variables, x, passes


def with_values_behind(x, value):
    x = np.array(x)
    for example, length in zip(x, LENGTHS, strict=True):
        example[length:] = value
    return jnp.asarray(x)


@pytest.mark.parametrize("kind", NETS)
def test_what_lies_behind_a_length_changes_no_number(kind):
    _, _, x, passes = program(kind)
    expected = passes(x, jnp.array(LENGTHS))
    for value in (0, 1e9, np.nan):
        jax.tree.map(np.testing.assert_array_equal, passes(with_values_behind(x, value), jnp.array(LENGTHS)), expected)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(expected))
    assert np.abs(expected[0] - passes(x, jnp.array([23, 14, 10]))[0])[2].max() > 1e-4


@pytest.mark.parametrize("kind", NETS)
def test_the_logits_are_those_of_each_example_alone(kind):
    net, variables, x, passes = program(kind)
    logits = passes(with_values_behind(x, 7), jnp.array(LENGTHS))[3]
    evaluate = jax.jit(lambda x: net.apply(variables, x, train=False).logits)
    for i, length in enumerate(LENGTHS[:2]):
        np.testing.assert_allclose(logits[i], evaluate(x[i : i + 1, :length])[0], atol=1e-6)


def test_an_example_without_positions_is_padding():
    _, variables, x, passes = program("series")
    three = passes(x, jnp.array([23, 14, 0]))
    again = passes(x.at[2].set(5), jnp.array([23, 14, 0]))
    jax.tree.map(np.testing.assert_array_equal, three, again)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(three))
    dense = variables["params"]["head"]["dense"]
    np.testing.assert_array_equal(three[3][2], dense["bias"])


def test_nets_that_cannot_take_lengths_are_refused():
    x, lengths = jnp.zeros((2, 23, 2)), jnp.array([23, 9])
    thirds = SequenceNet(stages=(Stage(1, 4, 3, Residual),), num_classes=3, in_channels=2, stem_features=4)
    with pytest.raises(ValueError, match="^lengths: expected strides that are powers of 2, got 3 in stage1"):
        jax.eval_shape(partial(thirds.init, train=False), jax.random.key(0), x, lengths=lengths)
    blurred = thirds.clone(stages=(Stage(1, 4, 1, Residual),), stem=partial(ImageNetStem, pool=MaxBlurPool))
    jax.eval_shape(partial(blurred.init, train=False), jax.random.key(0), x)
    with pytest.raises(
        ValueError, match="^lengths: expected components that pool by avg_pool or max_pool, got <function blur_pool"
    ):
        jax.eval_shape(partial(blurred.init, train=False), jax.random.key(0), x, lengths=lengths)
