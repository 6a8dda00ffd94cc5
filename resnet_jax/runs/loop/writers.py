"""Writers of a run's curves, beside metrics.jsonl: TensorBoard event files and Weights & Biases."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from resnet_jax.extras import extra
from resnet_jax.files import replace_file


class Writer(Protocol):
    """Writes numbers by name ("train/loss", "test/top1", "train/learning_rate") and pictures, each at a step."""

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Ignores values that are None or not finite."""

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        """`pixels`: uint8 [H, W, 3] or [H, W, 1]."""

    def close(self) -> None:
        """Writes buffered values. Nothing may be written after it."""


class TensorBoard:
    """Event files in `directory`. TensorBoard then ignores events of earlier starts after `start_step`.

    `hyperparameters`, by name ("optim.peak_lr"), are in its table of runs, with the test's `measures`.
    """

    def __init__(
        self, directory: Path, *, start_step: int, hyperparameters: Mapping[str, Any], measures: Iterable[str]
    ) -> None:
        # Not its SummaryWriter: a full disk ends its thread, and then every call waits for the thread forever.
        with extra():
            from tensorboardX import summary
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog

        directory.mkdir(exist_ok=True)
        # Without the suffix a start within the same second would overwrite the file of the one before.
        self._writer = EventsWriter(str(directory / "events"), f".{start_step}")
        self._event, self._summary = Event, summary
        self._write(Event(step=start_step + 1, session_log=SessionLog(status=SessionLog.START)))
        if start_step == 0:
            shown = {name: _cell(value) for name, value in hyperparameters.items()}
            for part in summary.hparams(shown, {f"test/{name}": None for name in measures}):
                self._write(Event(summary=part))

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        event = self._event(step=step)
        for name, value in _finite(values).items():
            event.summary.MergeFrom(self._summary.scalar(name, value))
        if event.HasField("summary"):
            self._write(event)  # one event for all values: each write is flushed to disk

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._write(self._event(step=step, summary=self._summary.image(name, pixels, dataformats="HWC")))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of Weights & Biases in `directory`/wandb. A later start resumes the run that the file wandb_id names.

    Every chart has "step" as its x axis: W&B's own counter cannot go back to the checkpoint of a resumed run. Offline
    runs are uploaded with `wandb sync`.

    Raises:
      ValueError: it does not start (no login, no network).
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str,
        project: str,
        mode: Literal["online", "offline"],
        hyperparameters: Mapping[str, Any],
    ) -> None:
        with extra():
            import wandb

        file = directory / "wandb_id"
        known = file.read_text().strip() if file.exists() else ""
        try:
            self._run = wandb.init(
                dir=str(directory),
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
            replace_file(file, f"{self._run.id}\n")
        self._run.define_metric("*", step_metric="step")
        self._picture = wandb.Image

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        self._run.log({"step": step, **_finite(values)})

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._run.log({"step": step, name: self._picture(pixels)})

    def close(self) -> None:
        self._run.finish()


def open_writers(
    directory: Path,
    *,
    tensorboard: bool,
    wandb: Literal["off", "online", "offline"],
    wandb_project: str,
    start_step: int,
    measures: Iterable[str],
    hyperparameters: Mapping[str, Any],
) -> list[Writer]:
    """The chosen writers of the run in `directory`; `wandb` is a mode of Weights & Biases, or "off".

    Raises:
      ValueError, OSError: one cannot start.
    """
    with ExitStack() as stack:  # if one fails, those before it are closed
        writers: list[Writer] = []
        if tensorboard:
            folder = directory / "tensorboard"
            writers.append(
                TensorBoard(folder, start_step=start_step, measures=measures, hyperparameters=hyperparameters)
            )
            stack.callback(writers[-1].close)
        if wandb != "off":
            writers.append(
                WandB(
                    directory, name=directory.name, project=wandb_project, mode=wandb, hyperparameters=hyperparameters
                )
            )
        stack.pop_all()
        return writers


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def _cell(value: Any) -> Any:
    """A value that the table of hyperparameters can hold; it ignores None, and file names may be invalid UTF-8."""
    return value if value is None or isinstance(value, bool | int | float) else _text(str(value))


def _text(name: str) -> str:
    """The name with bytes that are invalid UTF-8 escaped."""
    return name.encode(errors="backslashreplace").decode()
