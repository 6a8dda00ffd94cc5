"""Nets that spot keywords: their numbers, whole windows, and blocks that they do not have."""

from functools import partial

import audio_nets
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.context import BlockContext
from resnet_jax.models.sequence.keyword import KeywordBlock, whole_windows
from resnet_jax.models.sequence.lengths import LengthMasks

NETS = ("res8", "res15")


@pytest.mark.parametrize("name", NETS)
def test_numbers_equal_pytorch(x64, name):
    audio_nets.check_equals_reference(name)


@pytest.mark.parametrize("name", NETS)
def test_what_is_behind_a_length_changes_nothing(x64, name):
    audio_nets.check_lengths(name, [19, 14, 3])  # 3 frames fill no window of res8


def test_norms_have_statistics_and_no_parameters(x64):
    net = audio_nets.small("res8")
    variables = jax.eval_shape(partial(net.init, train=False), jax.random.key(0), jnp.zeros((1, 19, 11, 1)))
    block, statistics = variables["params"]["stage1_block0"], variables["batch_stats"]["stage1_block0"]
    assert set(block) == {"conv1", "conv2"}
    assert {name: set(part) for name, part in statistics.items()} == dict.fromkeys(("norm1", "norm2"), {"mean", "var"})


def test_a_window_counts_if_the_example_fills_it():
    masks = LengthMasks.of(jnp.array([10, 8, 7, 3]), jnp.zeros((4, 10, 1)))
    whole = whole_windows(masks, 4)
    assert whole.mask.shape == (4, 8)
    np.testing.assert_array_equal(whole.mask[:, ::4], [[1, 1], [1, 1], [1, 0], [0, 0]])


@pytest.mark.parametrize(("features", "strides"), [(4, 2), (8, 1)])
def test_another_shape_is_refused(features, strides):
    block, x = KeywordBlock(BlockContext(), features, strides), jnp.zeros((1, 8, 8, 4))
    with pytest.raises(ValueError, match=rf"expected a block with strides of 1 and 4 channels, got .* {strides} and"):
        jax.eval_shape(block.init, jax.random.key(0), x, x)
