"""Whether a net can write the transcripts of a run: CTC needs a frame for each character."""

from __future__ import annotations

from collections.abc import Iterator

from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.errors import DataError
from resnet_jax.tasks.transcription import frames_needed, total_strides


def transcript_notes(
    train: SequenceLoader, test: SequenceLoader, logits: tuple[int, ...], *, skips: bool
) -> tuple[str, ...]:
    """Notes on transcripts that are longer than the frames of their sounds.

    Args:
      logits: shape of the net's logits for the longest training sound, [N, F, K].
      skips: those of the training sounds are noted too, because the loss goes without them.

    Raises:
      ValueError: a net without logits of each frame. DataError: without `skips`, a training sound whose transcript is
        too long.
    """
    if len(logits) != 3:
        raise ValueError(f"--task transcription: expected a net with logits of each frame, got {list(logits)}")
    notes = []
    for loader, where in ((train, "train on"), (test, "test on")):
        problems = list(_too_long(loader, train, logits[1]))
        if problems and loader is train and not skips:
            how = "a shorter data.audio.hop has more frames, --data.unreadable skip goes without these sounds"
            raise DataError(f"{problems[0]}; {len(problems):,} of {train.num_examples:,} are too long; {how}")
        if problems:
            count = f"{len(problems):,} of {loader.num_examples:,} transcripts to {where}"
            notes.append(f"{count} are longer than their frames, as {problems[0]}")
    return tuple(notes)


def _too_long(loader: SequenceLoader, train: SequenceLoader, frames: int) -> Iterator[str]:
    """The problem of each transcript that does not fit, with the name of its sound first."""
    strides = total_strides(train.spatial_shape[0], frames)
    for index, (length, text) in enumerate(zip(loader.lengths.tolist(), loader.labels.tolist(), strict=True)):
        if not length:  # unreadable
            continue
        there = -(-loader.preprocess.spatial_shape(length)[0] // strides)
        if (needed := frames_needed(text)) > there:
            yield f"{loader.name(index)}: its transcript needs {needed} frames, the net has {there}"
