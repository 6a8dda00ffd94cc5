"""Transcripts that a net cannot write are named before training."""

from types import SimpleNamespace

import numpy as np
import pytest

from resnet_jax.errors import DataError
from resnet_jax.inputs import AudioPreprocess
from resnet_jax.runs.planning.transcripts import transcript_notes

SOUND = AudioPreprocess(8000, hop=0.01)


def loader(texts, lengths):
    """Sounds of these numbers of samples: a frame for each 80 of them, and one."""
    return SimpleNamespace(
        lengths=np.array(lengths),
        labels=np.array(texts),
        preprocess=SOUND,
        num_examples=len(texts),
        name=lambda i: f"{i}.wav",
        spatial_shape=SOUND.spatial_shape(max(lengths)),
    )


GOOD = loader(["abc", "aa", ""], [400, 400, 0])  # 6 frames each, 3 of the net with strides of 2; the last: unreadable


def test_transcripts_that_fit_need_no_note():
    assert transcript_notes(GOOD, GOOD, (1, 3, 4), skips=False) == ()


def test_a_training_transcript_that_is_too_long_is_named_or_skipped():
    train = loader(["abc", "abba", "aab"], [400, 400, 400])
    message = "^1.wav: its transcript needs 5 frames, the net has 3; 2 of 3 are too long; a shorter data.audio.hop"
    with pytest.raises(DataError, match=message):
        transcript_notes(train, GOOD, (1, 3, 4), skips=False)
    (note,) = transcript_notes(train, GOOD, (1, 3, 4), skips=True)
    assert note.startswith("2 of 3 transcripts to train on are longer than their frames, as 1.wav: ")
    assert transcript_notes(train, GOOD, (1, 6, 4), skips=False) == ()


def test_a_test_transcript_that_is_too_long_is_noted():
    test = loader(["abc"], [80])
    (note,) = transcript_notes(GOOD, test, (1, 3, 4), skips=False)
    assert note == (
        "1 of 1 transcripts to test on are longer than their frames, as 0.wav: its transcript needs 3 frames, "
        "the net has 1"
    )


def test_a_net_without_logits_of_frames_is_refused():
    with pytest.raises(
        ValueError, match=r"^--task transcription: expected a net with logits of each frame, got \[1, 4"
    ):
        transcript_notes(GOOD, GOOD, (1, 4), skips=False)
