"""The recogniser of speech: its numbers, and a class for every second frame."""

import audio_nets
import jax
import jax.numpy as jnp
import numpy as np
import optax

NAME = "quartznet5x2_small"


def test_numbers_equal_pytorch(x64):
    audio_nets.check_equals_reference(NAME)


def test_what_is_behind_a_length_changes_nothing(x64):
    audio_nets.check_lengths(NAME, [32, 21, 0])


def test_every_second_frame_has_logits_for_the_ctc_loss(x64):
    logits = audio_nets.results(NAME)["logits"]
    assert logits.shape == (audio_nets.N, 16, audio_nets.CLASSES)
    labels = jnp.array([[1, 2, 2], [3, 4, 0], [1, 0, 0]])
    paddings = jnp.zeros(logits.shape[:2]), (labels == 0).astype(float)
    losses = optax.ctc_loss(jnp.asarray(logits), paddings[0], labels, paddings[1], blank_id=0)
    assert losses.shape == (audio_nets.N,) and np.isfinite(losses).all() and (losses > 0).all()


def test_without_classes_there_are_the_features_of_each_frame(x64):
    net = audio_nets.small(NAME).clone(num_classes=0)
    outputs = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False)[0], jnp.zeros((2, 33, 6, 1))
    )
    assert outputs.logits.shape == (2, 17, 0) and outputs.features["pool"].shape == (2, 17, 9)
