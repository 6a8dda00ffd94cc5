"""Where the curves of a run go beside metrics.jsonl: event files for TensorBoard, and Weights & Biases."""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from resnet_jax.extras import extra


class Writer(Protocol):
    """Takes numbers by name ("train/loss", "test/top1", "train/learning_rate") and pictures, each at a step."""

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Values that are None or not finite are left out."""

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        """`pixels`: uint8 [H, W, 3] or [H, W, 1]."""

    def close(self) -> None:
        """Writes what is still held. Nothing may be written after it."""


class TensorBoard:
    """Event files in `folder`. Of what stands there already, TensorBoard drops what came after `start_step`.

    `hyperparameters`, by name ("optim.peak_lr"), are in its table of runs, with test/top1 and test/loss.
    """

    def __init__(self, folder: Path, *, start_step: int, hyperparameters: Mapping[str, Any]) -> None:
        # Not its SummaryWriter: that one's thread dies of a full disk, and then every call waits for it for ever.
        with extra():
            from tensorboardX import summary
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder.mkdir(exist_ok=True)
        # The suffix keeps a start within the same second from overwriting the file of the one before.
        self._writer = EventsWriter(str(folder / "events"), f".{start_step}")
        self._event, self._summary = Event, summary
        self._write(Event(step=start_step + 1, session_log=SessionLog(status=SessionLog.START)))
        if start_step == 0:
            shown = {name: _cell(value) for name, value in hyperparameters.items()}
            for part in summary.hparams(shown, {"test/top1": None, "test/loss": None}):
                self._write(Event(summary=part))

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        together = self._event(step=step)
        for name, value in _finite(values).items():
            together.summary.MergeFrom(self._summary.scalar(name, value))
        if together.HasField("summary"):
            self._write(together)  # at once: each write is put on the disk

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._write(self._event(step=step, summary=self._summary.image(name, pixels, dataformats="HWC")))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of Weights & Biases, kept in `folder`/wandb. A later start goes on with the run named in wandb_id there.

    Every chart has "step" as its x axis: W&B's own counter cannot go back to the checkpoint that a run goes on from.
    Offline runs are sent with `wandb sync`.

    Raises:
      ValueError: it does not start (no login, no network).
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        project: str,
        mode: Literal["online", "offline"],
        hyperparameters: Mapping[str, Any],
    ) -> None:
        with extra():
            import wandb

        file = folder / "wandb_id"
        known = file.read_text().strip() if file.exists() else ""
        try:
            self._run = wandb.init(
                dir=str(folder),
                id=known or uuid.uuid4().hex[:8],
                name=_text(name),
                project=project,
                mode=mode,
                resume="allow",
                config={
                    key: _text(value) if isinstance(value, str) else value for key, value in hyperparameters.items()
                },
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            raise ValueError(f"wandb does not start: {error}; log in with `wandb login`, or go offline") from None
        if not known:
            new = folder / "wandb_id.new"
            new.write_text(self._run.id + "\n")
            os.replace(new, file)
        self._run.define_metric("*", step_metric="step")
        self._picture = wandb.Image

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        self._run.log({"step": step, **_finite(values)})

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._run.log({"step": step, name: self._picture(pixels)})

    def close(self) -> None:
        self._run.finish()


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def _cell(value: Any) -> Any:
    """What the table of hyperparameters can hold; it leaves None out, and names of files may be no text."""
    return value if value is None or isinstance(value, bool | int | float) else _text(str(value))


def _text(name: str) -> str:
    """With bytes that are no UTF-8 escaped."""
    return name.encode(errors="backslashreplace").decode()
