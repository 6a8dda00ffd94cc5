"""Reports a run: a progress bar or lines, metrics.jsonl, and the curves of writers."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, TextIO

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from resnet_jax.errors import SaveFailed
from resnet_jax.files import replace_file, to_json
from resnet_jax.runs.loop.writers import Writer
from resnet_jax.text import decimals


class RunReporter:
    """Writes one JSON object a line to metrics.jsonl, and shows progress on a terminal (a line per record elsewhere).

    The numbers go to `writers` too, as "train/loss", "test/top1", ... If stdout is closed (a pipe, a terminal),
    printing ends and the run continues.

    Args:
      directory: the run directory; None: nothing is written or shown.
      titles: the metrics that are shown beside the loss, with their names for people; a training line has the first.
      examples: what lines call the examples of the data.
      test_due: the test of `start_step` is still to be made.

    Raises:
      ValueError: a corrupted file of an earlier start.
      SaveFailed: a file cannot be written; by every method that writes.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        start_step: int,
        total_steps: int,
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        titles: Mapping[str, str] = MappingProxyType({"top1": "top-1", "top5": "top-5"}),
        test_due: bool = False,
        examples: str = "images",
        writers: Sequence[Writer] = (),
        console: Console | None = None,
    ) -> None:
        self._directory, self._writers, self._titles = directory, writers, titles
        self._console = console or _console(quiet=directory is None)
        self._file = self._nonfinite = None
        if directory is not None:
            file, self._nonfinite = directory / "metrics.jsonl", directory / "nonfinite.jsonl"
            for written in (file, self._nonfinite):
                _drop_after(written, start_step, test_due)
            self._file = file.open("a")
        self._total, self._steps_per_epoch, self._step = total_steps, steps_per_epoch, start_step
        self._batch_size, self._examples = batch_size, examples
        self._began = time.monotonic()
        self._timed = (self._began, start_step)  # the time and the step from which the rate is measured
        self._activity: tuple[str, float] | None = None  # what runs instead of training steps, and since when
        self._numbers: tuple[str, str] = ("", "")  # loss and rate of the last record
        self._live = self._console.is_interactive and directory is not None
        self._bar = Live(get_renderable=self._line, console=self._console, refresh_per_second=5, transient=True)

    def __enter__(self) -> RunReporter:
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._bar.stop()
        try:
            with self._writing(), ExitStack() as stack:  # each is closed, even if another raises
                if self._file is not None:
                    stack.callback(self._file.close)
                for writer in self._writers:
                    stack.callback(writer.close)
        except SaveFailed:
            if error is None:  # an earlier error is the one to report
                raise

    def advance(self, step: int) -> None:
        self._step = step

    @contextmanager
    def compiling(self, what: str) -> Iterator[None]:
        """Reports that `what` is compiled and run for the first time; the rate is measured from its end."""
        if not self._live:
            self.print(f"compiling {what}")
        began = time.monotonic()
        with self._busy(f"compiling {what}"):
            yield
        self.print(f"compiled {what} in {time.monotonic() - began:.1f} s")
        self._timed = (time.monotonic(), self._step)

    @contextmanager
    def testing(self) -> Iterator[None]:
        """Reports that test images are evaluated."""
        with self._busy("testing"):
            yield

    @contextmanager
    def _busy(self, what: str) -> Iterator[None]:
        self._activity = (what, time.monotonic())
        try:
            yield
        finally:
            self._activity = None
            if self._live:
                self._bar.refresh()

    def train(self, step: int, values: dict[str, Any]) -> None:
        """Records means over the steps since the last record; a value is None if it is unknown."""
        rate = values["images_per_second"]
        pace = f"{rate:,.0f} {self._examples}/s" if rate else f"- {self._examples}/s"
        shown = self.shown(values).split("  ")[:2]
        self._numbers = (shown[0], pace)
        if not self._live:
            times = f"elapsed {_span(time.monotonic() - self._began)}  remaining {self._remaining(step)}"
            self.print("  ".join([self._place(step), *shown, pace, times]))
        self._write({"step": step, "split": "train", **values})

    def test(self, step: int, values: dict[str, Any], *, best: bool = False) -> None:
        """Records the results of a test and their number of "images". `best`: better than every earlier test."""
        place, note = self._place(step), ", the best so far" if best else ""
        self.print(f"{place}  test: {self.shown(values)}  ({values['images']} {self._examples}{note})")
        if any(name.startswith("ema_") for name in values):
            self.print(f"{place}  test, averaged weights: {self.shown(values, 'ema_')}")
        self._write({"step": step, "split": "test", **values})

    def nonfinite(self, step: int, examples: Sequence[int], names: Sequence[str] = ()) -> None:
        """Records a step whose loss or gradient is not finite in nonfinite.jsonl, with the examples of its batch."""
        if self._nonfinite is not None:
            record = {"step": step, "examples": list(examples)} | ({"names": list(names)} if names else {})
            with self._writing(), self._nonfinite.open("a") as file:
                file.write(json.dumps(record) + "\n")

    def sync(self) -> None:
        """Flushes metrics.jsonl to disk."""
        if self._file is not None:
            with self._writing():
                os.fsync(self._file.fileno())

    @property
    def shows_images(self) -> bool:
        """Whether `image` has an effect."""
        return bool(self._writers)

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Shows a picture, uint8 [H, W, 3], in the writers."""
        with self._writing():
            for writer in self._writers:
                writer.image(step, name, pixels)

    def shown(self, values: Mapping[str, Any], prefix: str = "") -> str:
        """The loss and the titled metrics: "loss 0.1234  top-1 0.9876"."""
        names = {"loss": "loss", **self._titles}
        numbers = {title: values.get(f"{prefix}{name}") for name, title in names.items() if f"{prefix}{name}" in values}
        return "  ".join(f"{title} {decimals(x)}" for title, x in numbers.items())

    def print(self, text: str) -> None:
        """Prints a line; a terminal breaks it between words."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=not self._console.is_terminal)

    @property
    def elapsed(self) -> str:
        """Time since this start: "1:05"."""
        return _span(time.monotonic() - self._began)

    def _place(self, step: int) -> str:
        return "  ".join([*self._epoch(step), f"step {step}/{self._total}"])

    def _epoch(self, step: int) -> list[str]:
        if not self._steps_per_epoch:
            return []
        return [f"epoch {step / self._steps_per_epoch:.2f}/{round(self._total / self._steps_per_epoch, 2):g}"]

    def _remaining(self, step: int) -> str:
        """Remaining time, estimated from the steps, tests and saves of this start."""
        since, first = self._timed
        if step <= first:
            return "-"
        return _span((self._total - step) * (time.monotonic() - since) / (step - first))

    def _line(self) -> Table:
        """The progress bar: one line; a narrow terminal drops the least important items."""
        step, width = self._step, self._console.width - 1
        loss, pace = self._numbers
        since, first = self._timed
        if not pace and self._batch_size and step > first:  # before the first record
            pace = f"{(step - first) * self._batch_size / (time.monotonic() - since):,.0f} {self._examples}/s"
        parts = [(1, text) for text in self._epoch(step)]  # with their priority, 0 first
        parts += [(2, f"{100 * step // self._total}%"), (3, f"remaining {self._remaining(step)}")]
        parts += [(5, f"elapsed {self.elapsed}"), (4, pace), (6, loss)]
        if self._activity is not None:
            what, since = self._activity
            parts = [(0, f"{what} {_span(time.monotonic() - since)}"), *parts[:-2]]
        shown: set[tuple[int, str]] = set()
        for part in sorted(parts):
            if part[1] and _width([*shown, part]) <= width:
                shown.add(part)
        remaining = width - _width(shown) - 2
        bar = [ProgressBar(self._total, step, width=min(30, remaining))] if remaining >= 5 else []
        first_text, *other_texts = [part[1] for part in parts if part in shown] or [""]
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(first_text, *bar, *other_texts)
        for column in line.columns:
            column.no_wrap, column.overflow = True, "crop"
        return line

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is None:
            return
        values = {
            f"{record['split']}/{k}": v for k, v in record.items() if k not in ("step", "split") and v is not None
        }
        with self._writing():
            self._file.write(to_json(record) + "\n")
            self._file.flush()
            for writer in self._writers:
                writer.scalars(record["step"], values)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"{self._directory} cannot be written: {error}"
            raise SaveFailed(f"{problem}; its checkpoints are unchanged") from error


class _Output:
    """A stream that drops its output once its reader has closed it, so that the run continues."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._gone = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if not self._gone:
            with self._reader_may_leave():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        if not self._gone:
            with self._reader_may_leave():
                self._stream.flush()

    @contextmanager
    def _reader_may_leave(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self._gone = True
            # Output that Python still buffers would fail again when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _console(quiet: bool) -> Console:
    """A terminal only if stdout is one, even with FORCE_COLOR; a notebook gets lines, as a file does."""
    terminal = sys.stdout.isatty()
    output: Any = _Output(sys.stdout)
    return Console(file=output, quiet=quiet, force_terminal=terminal, force_jupyter=False)


def _width(parts: Iterable[tuple[int, str]]) -> int:
    """Columns that these texts take, side by side."""
    return sum(len(text) + 2 for _, text in parts) - 2


def _span(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _drop_after(file: Path, step: int, test_due: bool) -> None:
    """Removes records made after the checkpoint of `step`, and an incomplete last line."""
    if not file.exists():
        return

    def is_valid(record: dict[str, Any]) -> bool:
        is_repeated = test_due and record.get("split") == "test"
        return record["step"] < step or (record["step"] == step and not is_repeated)

    lines = file.read_text(errors="replace").splitlines(keepends=True)
    try:
        valid = [line for line in lines if line.endswith("\n") and is_valid(json.loads(line))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} has an invalid line ({error!r}); repair it or move the file away") from None
    if valid != lines:
        replace_file(file, "".join(valid))
