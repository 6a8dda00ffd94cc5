"""Transcription: characters of a sound, by connectionist temporal classification (CTC); error rates of texts.

Graves et al. 2006, "Connectionist Temporal Classification". Logits are [N, F, K], of F frames and K tokens, the first
of which is the blank. A transcript of T characters fits into T frames, and one more for each pair of equal neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, takewhile
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np
import optax

from resnet_jax.metrics.transcripts import TranscriptErrors
from resnet_jax.metrics.typed import Metric
from resnet_jax.ops.canvas import before
from resnet_jax.ops.ctc import Decoded, beam_decode, greedy_decode
from resnet_jax.tasks.base import BaseTask
from resnet_jax.tasks.protocol import LabelledSource, Rows, Task, TaskOptions, Term, Terms, refuse_options
from resnet_jax.types import Array, Batch, LabelKind, at_least_float32

BLANK = 0  # its place among the tokens


@dataclass(frozen=True)
class Transcription(BaseTask):
    """What is spoken: labels int [N, T] of characters, 0 behind the `label_lengths` of each.

    The loss is the mean over examples of -log p(transcript). Transcripts that do not fit into their frames have no
    probability and do not count in it: training names them before it starts, and tests report their number, "too_long".
    Error rates have all of them.
    """

    tokens: tuple[str, ...] = ()  # the blank, then characters
    beam_width: int = 1  # of the search for the likeliest transcript; 1: the best path

    name: ClassVar[str] = "transcription"
    label_kind: ClassVar[LabelKind] = "transcript"
    measures: ClassVar[Mapping[str, int]] = {"cer": -1, "wer": -1, "loss": -1}
    titles: ClassVar[Mapping[str, str]] = {
        "cer": "character error rate (CER)",
        "wer": "word error rate (WER)",
        "too_long": "transcripts longer than their frames",
    }

    def __post_init__(self) -> None:
        """Raises ValueError for a width below 1."""
        if self.beam_width < 1:
            raise ValueError(f"optim.beam_width: expected at least 1, got {self.beam_width}")

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Self:
        refuse_options(options, self.name)
        default = TaskOptions().beam_width
        width = self.beam_width if options.beam_width == default else options.beam_width
        return replace(self, tokens=tuple(source.classes), beam_width=width)

    def options(self) -> TaskOptions:
        return TaskOptions(beam_width=self.beam_width)

    @property
    def num_outputs(self) -> int:
        return len(self.tokens)

    def objective(self, outputs: Any, batch: Batch, axis_name: str | None) -> tuple[Terms, dict[str, Metric]]:
        losses, fits = transcript_losses(outputs.logits, batch)
        mask = batch["mask"].astype(losses.dtype)
        total = jnp.where(mask * fits > 0, losses * mask, 0).sum()
        # Without a transcript that fits, the loss is 0 and not 0 / 0.
        return {"loss": Term(total, (mask * fits).sum(), 1.0)}, {}

    def predictions(self, outputs: Any) -> dict[str, Array]:
        """As `predict_batch`, for examples that all have as many frames as the logits."""
        return self._decoded(outputs.logits, None)

    def predict_batch(self, outputs: Any, batch: Batch) -> dict[str, Array]:
        """ "transcript" int [N, F], the blank behind its "length" int [N]; "log_probability" float [N].

        With labels, "loss" float [N] and "fits" bool [N] too; see `transcript_losses`.
        """
        rows = self._decoded(outputs.logits, frame_lengths(outputs.logits, batch))
        if "label_lengths" not in batch:
            return rows
        losses, fits = transcript_losses(outputs.logits, batch)
        return {**rows, "loss": losses, "fits": fits}

    def _decoded(self, logits: Array, frames: Array | None) -> dict[str, Array]:
        if self.beam_width == 1:
            best = greedy_decode(logits, frames, blank=BLANK)
        else:
            beams = beam_decode(logits, frames, width=self.beam_width, blank=BLANK)
            best = Decoded(*(x[:, 0] for x in beams))
        return {"transcript": best.labels, "length": best.lengths, "log_probability": best.scores}

    def average(self, predictions: Sequence[Rows]) -> Rows:
        """Raises ValueError for several: transcripts have no mean."""
        if len(predictions) > 1:
            raise ValueError("transcripts have no mean over views or nets; evaluate one net with one view")
        return predictions[0]

    def check_ensemble(self, others: Sequence[Task]) -> None:
        if others:
            raise ValueError(f"expected one net of transcripts, got {len(others) + 1}; each is evaluated by itself")

    def evaluator(self) -> TranscriptionEvaluator:
        return TranscriptionEvaluator(self)

    def record(self) -> dict[str, Any]:
        return {"beam_width": self.beam_width}

    def restored(self, record: Mapping[str, Any], *, with_options: bool = False) -> Self:
        if not isinstance(width := record.get("beam_width"), int):
            raise ValueError(f"expected the record of a transcription with a beam_width, got {dict(record)}")
        return replace(self, beam_width=width) if with_options else self

    def text(self, ids: np.ndarray, length: int) -> str:
        """The transcript of the first `length` ids."""
        return "".join(self.tokens[token] for token in ids[:length].tolist())

    def describe(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        text = self.text(prediction["transcript"], int(prediction["length"]))
        return {"transcript": text, "log_probability": float(prediction["log_probability"])}

    def format(self, prediction: Mapping[str, np.ndarray], top: int) -> str:
        return repr(self.describe(prediction, top)["transcript"])

    def label_name(self, label: Any) -> str:
        """The text of a transcript, or of its ids."""
        if isinstance(label, str):
            return label
        ids = np.asarray(label)
        return self.text(ids, int((ids != BLANK).sum()))


class TranscriptionEvaluator:
    """Streaming loss and error rates of what `Transcription.predict_batch` returns."""

    def __init__(self, task: Transcription) -> None:
        self._task, self._errors = task, TranscriptErrors()
        self._loss, self._count, self._too_long = 0.0, 0, 0

    def update(self, outputs: Rows, batch: Mapping[str, Any]) -> None:
        rows = np.flatnonzero(np.asarray(batch["mask"]))
        fits = np.asarray(outputs["fits"])[rows]
        self._loss += float(np.asarray(outputs["loss"], np.float64)[rows][fits].sum())
        self._count += int(fits.sum())
        self._too_long += int((~fits).sum())
        texts = [
            [self._task.text(np.asarray(ids)[i], int(lengths[i])) for i in rows]
            for ids, lengths in (
                (batch["label"], batch["label_lengths"]),
                (outputs["transcript"], outputs["length"]),
            )
        ]
        self._errors.update(*texts)

    def result(self) -> dict[str, float]:
        """ "cer", "wer" and "loss" (NaN without a transcript that fits); "too_long" where there are such transcripts.

        Raises:
          ValueError: there was no transcript with a character.
        """
        loss = self._loss / self._count if self._count else math.nan
        return {"loss": loss, **self._errors.result(), **({"too_long": self._too_long} if self._too_long else {})}


def transcript_losses(logits: Array, batch: Batch) -> tuple[Array, Array]:
    """-log p of the transcripts, and which fit into their frames: float [N], bool [N]; 0 for those that do not.

    Raises:
      ValueError: logits or labels of another shape.
    """
    labels, lengths = batch["label"], batch["label_lengths"]
    if logits.ndim != 3 or labels.ndim != 2:
        got = f"{list(logits.shape)} and {list(labels.shape)}"
        raise ValueError(f"transcripts: expected logits [N, F, K] and labels [N, T], got {got}")
    frames = frame_lengths(logits, batch)
    is_frame, is_label = before(frames, logits.shape[1]), before(lengths, labels.shape[1])
    repeats = (labels[:, 1:] == labels[:, :-1]) & is_label[:, 1:]
    fits = lengths + repeats.sum(1) <= frames
    wide = logits.astype(at_least_float32(logits.dtype))
    paddings = ((~mask).astype(wide.dtype) for mask in (is_frame, is_label))
    frame_padding, label_padding = paddings
    losses = optax.ctc_loss(wide, frame_padding, labels, label_padding, blank_id=BLANK)
    return jnp.where(fits, losses, 0), fits


def frame_lengths(logits: Array, batch: Batch) -> Array:
    """Frames of each example's logits [N, F, K], int [N]: ceil(lengths / s) for a net with total strides of s.

    Raises:
      ValueError: F is no ceil(L / s) of the input's L positions, where s is a power of 2.
    """
    frames = logits.shape[1]
    if (lengths := batch.get("lengths")) is None:
        return jnp.full(logits.shape[:1], frames, jnp.int32)
    strides = total_strides(batch["image"].shape[1], frames)
    return jnp.minimum(-(-jnp.asarray(lengths, jnp.int32) // strides), frames)


def total_strides(size: int, frames: int) -> int:
    """The least power of 2, s, with ceil(size / s) frames.

    Raises:
      ValueError: no power of 2 gives this number of frames.
    """
    for strides in takewhile(lambda s: s < 2 * size, (2**power for power in count())):
        if -(-size // strides) == frames:
            return strides
    raise ValueError(f"expected ceil({size} / s) frames of logits, where s is a power of 2, got {frames}")


def frames_needed(text: Sequence[Any]) -> int:
    """Frames that the tokens of a transcript need: one each, and a blank between equal neighbours."""
    return len(text) + sum(one == other for one, other in zip(text, text[1:], strict=False))
