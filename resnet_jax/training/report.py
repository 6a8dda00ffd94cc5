"""What a person and a program see of a run: a progress bar, or lines; metrics.jsonl; and the curves of writers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from resnet_jax.training.integrity import SaveFailed, replace_file
from resnet_jax.training.writers import Writer


class Report:
    """Writes one JSON object a line to metrics.jsonl, and shows progress on a terminal (a line per record elsewhere).

    The numbers go to `writers` too, as "train/loss", "test/top1", ... Without a folder it writes and shows nothing.
    With `test_due` the test of `start_step` is still to be made.

    Raises:
      ValueError: a file of an earlier start that is damaged.
      SaveFailed: something cannot be written; by every method that writes.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        start_step: int,
        total_steps: int,
        test_due: bool = False,
        writers: Sequence[Writer] = (),
        console: Console | None = None,
    ) -> None:
        self._folder, self._writers = folder, writers
        self._console = console or Console(quiet=folder is None)
        self._file = self._nonfinite = None
        if folder is not None:
            file, self._nonfinite = folder / "metrics.jsonl", folder / "nonfinite.jsonl"
            for written in (file, self._nonfinite):
                _drop_after(written, start_step, test_due)
            self._file = file.open("a")
        self._total = total_steps
        self._live = self._console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"), console=self._console, disable=not self._live,
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=total_steps, completed=start_step, note="compiling")

    def __enter__(self) -> Report:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()
        try:
            with self._writing(), ExitStack() as stack:  # each is closed, whatever another raises
                if self._file is not None:
                    stack.callback(self._file.close)
                for writer in self._writers:
                    stack.callback(writer.close)
        except SaveFailed:
            if error is None:  # else that one is told
                raise

    def advance(self, step: int) -> None:
        self._bar.update(self._task, completed=step)

    def train(self, step: int, values: dict[str, Any], *, batch_size: int) -> None:
        """Means over the steps since the last record; `images_per_second` is None before it is known."""
        rate = values["images_per_second"]
        pace = f"{rate:,.0f} images/s" if rate else "- images/s"
        loss, top1 = ("-" if values[name] is None else f"{values[name]:.4f}" for name in ("loss", "top1"))
        self._bar.update(self._task, note=f"loss {loss}  {pace}")
        if not self._live:
            eta = _span((self._total - step) * batch_size / rate) if rate else "-"
            self.say(f"step {step}/{self._total}  loss {loss}  top-1 {top1}  {pace}  ETA {eta}")
        self._write({"step": step, "split": "train", **values})

    def test(self, step: int, values: dict[str, Any]) -> None:
        """Means over the test images, and their number, "images"."""
        self.say(f"step {step}/{self._total}  test: {_means(values)}  ({values['images']} images)")
        if "ema_loss" in values:
            self.say(f"step {step}/{self._total}  test, averaged weights: {_means(values, 'ema_')}")
        self._write({"step": step, "split": "test", **values})

    def nonfinite(self, step: int, examples: Sequence[int]) -> None:
        """A step whose loss or gradient is not finite, and the training examples of its batch: in nonfinite.jsonl."""
        if self._nonfinite is not None:
            with self._writing(), self._nonfinite.open("a") as file:
                file.write(json.dumps({"step": step, "examples": list(examples)}) + "\n")

    def sync(self) -> None:
        """What was written is on the disk when this returns."""
        if self._file is not None:
            with self._writing():
                os.fsync(self._file.fileno())

    @property
    def draws(self) -> bool:
        """Whether anybody looks at `image`."""
        return bool(self._writers)

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        """A picture, uint8 [H, W, 3], for writers that show one."""
        with self._writing():
            for writer in self._writers:
                writer.image(step, name, pixels)

    def say(self, text: str) -> None:
        """One line, as it is."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is None:
            return
        values = {
            f"{record['split']}/{k}": v for k, v in record.items() if k not in ("step", "split") and v is not None
        }
        with self._writing():
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
            for writer in self._writers:
                writer.scalars(record["step"], values)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SaveFailed(f"{self._folder} cannot be written: {error}; its checkpoints are as they were") from error


def _means(values: dict[str, Any], prefix: str = "") -> str:
    tops = [f"top-{k} {values[f'{prefix}top{k}']:.4f}" for k in (1, 5) if f"{prefix}top{k}" in values]
    return "  ".join([f"loss {values[f'{prefix}loss']:.4f}", *tops])


def _span(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _drop_after(file: Path, step: int, test_due: bool) -> None:
    """Removes what a run wrote after the checkpoint that it goes on from, and a line that was cut off."""
    if not file.exists():
        return

    def stays(record: dict[str, Any]) -> bool:
        again = test_due and record.get("split") == "test"
        return record["step"] < step or (record["step"] == step and not again)

    lines = file.read_text(errors="replace").splitlines(keepends=True)
    try:
        kept = [line for line in lines if line.endswith("\n") and stays(json.loads(line))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} has a line that is no record ({error!r}); mend it, or move the file away") from None
    if kept != lines:
        replace_file(file, "".join(kept))
