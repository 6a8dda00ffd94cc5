"""Nets of raw waveforms: their numbers, their pools and their shortcut."""

import audio_nets
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.context import BlockContext
from resnet_jax.models.sequence.lengths import LengthMasks
from resnet_jax.models.sequence.waveform import RepeatChannels, pool_windows

NETS = ("m5", "m34_res")


@pytest.mark.parametrize("name", NETS)
def test_numbers_equal_pytorch(x64, name):
    audio_nets.check_equals_reference(name)


@pytest.mark.parametrize("name", NETS)
def test_what_is_behind_a_length_changes_nothing(x64, name):
    audio_nets.check_lengths(name, [205, 93, 0])


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 11])
def test_a_pool_has_a_window_for_every_four_positions_and_the_rest(length):
    x = -np.random.default_rng(0).random((2, length, 3)).astype(np.float32)  # padding of 0 would be the maximum
    y = pool_windows(BlockContext(), jnp.asarray(x), 4)
    expected = np.stack([x[:, i : i + 4].max(1) for i in range(0, length, 4)], axis=1)
    np.testing.assert_array_equal(y, expected)


def test_a_pool_ends_where_each_example_ends():
    x = -np.random.default_rng(0).random((2, 9, 3)).astype(np.float32)
    context = BlockContext(masks=LengthMasks.of(jnp.array([9, 6]), jnp.asarray(x)))
    y = pool_windows(context, jnp.asarray(x), 4)
    np.testing.assert_array_equal(y[0], pool_windows(BlockContext(), jnp.asarray(x[:1]), 4)[0])
    np.testing.assert_array_equal(y[1, :2], pool_windows(BlockContext(), jnp.asarray(x[1:, :6]), 4)[0])
    np.testing.assert_array_equal(y[1, 2], 0)


def test_channels_are_repeated_next_to_themselves():
    x = jnp.arange(6.0).reshape(1, 3, 2)
    y = RepeatChannels(BlockContext(), 4, 2).apply({}, x)
    np.testing.assert_array_equal(y, [[[0, 0, 1, 1], [4, 4, 5, 5]]])
    with pytest.raises(ValueError, match="repeated channels: expected a multiple of 2 output channels, got 3"):
        RepeatChannels(BlockContext(), 3).apply({}, x)
