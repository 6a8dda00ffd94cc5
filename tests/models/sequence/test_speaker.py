"""Nets that tell speakers apart: their numbers, statistics over the frames, cosines."""

import audio_nets
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.context import BlockContext
from resnet_jax.models.sequence.speaker import Cosine, StatisticsHead, merge_bands

NETS = ("speaker_resnet34", "speaker_seresnet34")


@pytest.mark.parametrize("name", NETS)
def test_numbers_equal_pytorch(x64, name):
    audio_nets.check_equals_reference(name)


@pytest.mark.parametrize("name", NETS)
def test_what_is_behind_a_length_changes_nothing(x64, name):
    audio_nets.check_lengths(name, [21, 13, 0])


def test_bands_of_a_channel_are_next_to_each_other():
    x = jnp.arange(12).reshape(1, 2, 3, 2)  # bands 0 to 2 of channel 0 are 0, 2, 4 in the first frame
    np.testing.assert_array_equal(merge_bands(x), [[[0, 2, 4, 1, 3, 5], [6, 8, 10, 7, 9, 11]]])


def test_the_embedding_does_not_depend_on_the_order_of_the_frames():
    head = StatisticsHead(BlockContext(), num_classes=0, embedding=3)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, 2, 2)), jnp.float32)
    run = jax.jit(head.init_with_output)
    ((pooled, logits), _), ((again, _), _) = (run(jax.random.key(0), frames) for frames in (x, x[:, ::-1]))
    assert pooled.shape == (2, 3) and logits.shape == (2, 0)
    np.testing.assert_allclose(again, pooled, rtol=1e-5, atol=1e-5)


def test_cosines_ignore_lengths_and_survive_a_vector_of_zeros():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    params = {"params": {"kernel": jnp.array([[6.0, -4.0], [8.0, 3.0]])}}

    def cosines(x):
        return Cosine(2).apply(params, x)

    np.testing.assert_allclose(cosines(x), [[1, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(cosines(10 * x), cosines(x), atol=1e-6)
    assert np.isfinite(jax.grad(lambda x: cosines(x).sum())(x)).all()


def test_another_pool_is_refused():
    with pytest.raises(ValueError, match="global_pool: expected avg"):
        audio_nets.small("speaker_resnet34", global_pool="max")
