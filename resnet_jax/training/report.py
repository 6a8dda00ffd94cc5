"""What a person and a program see of a run: a progress bar, or lines; and metrics.jsonl."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Report:
    """Writes one JSON object a line to `file`, and shows progress on a terminal (a line per record elsewhere)."""

    def __init__(self, file: Path, *, start_step: int, total_steps: int, console: Console | None = None) -> None:
        self._console = console or Console()
        _drop_after(file, start_step)
        self._file = file.open("a")
        self._total = total_steps
        self._clock, self._at = time.perf_counter(), start_step
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
        self._file.close()

    def advance(self, step: int) -> None:
        self._bar.update(self._task, completed=step)

    def train(self, step: int, values: dict[str, Any], *, images_per_step: int) -> None:
        """Means over the steps since the last record, which have just become known."""
        now = time.perf_counter()
        rate = (step - self._at) * images_per_step / (now - self._clock)
        self._clock, self._at = now, step
        eta = (self._total - step) * images_per_step / rate
        self._bar.update(self._task, note=f"loss {values['loss']:.3f}  {rate:,.0f} images/s")
        if not self._live:
            self._console.print(
                f"step {step}/{self._total}  loss {values['loss']:.4f}  top-1 {values['top1']:.4f}  "
                f"{rate:,.0f} images/s  ETA {_span(eta)}",
                highlight=False,
            )
        self._write({"step": step, "split": "train", **values, "images_per_second": round(rate, 1)})

    def test(self, step: int, values: dict[str, Any], *, examples: int) -> None:
        shown = "  ".join(
            [f"loss {values['loss']:.4f}"] + [f"top-{k} {values[f'top{k}']:.4f}" for k in (1, 5) if f"top{k}" in values]
        )
        self._console.print(f"step {step}/{self._total}  test: {shown}  ({examples} images)", highlight=False)
        self._write({"step": step, "split": "test", **values})
        self._clock = time.perf_counter()  # evaluation is no part of the training rate

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


def _span(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _drop_after(file: Path, step: int) -> None:
    """Removes what a run wrote after the checkpoint that it goes on from, and a line that was cut off."""
    if not file.exists():
        return
    lines = file.read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    if kept != lines:
        new = file.with_suffix(".new")
        new.write_text("".join(kept))
        os.replace(new, file)
