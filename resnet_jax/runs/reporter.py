"""What a person and a program see of a run: a progress bar, or lines; metrics.jsonl; and the curves of writers."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from resnet_jax.errors import SaveFailed
from resnet_jax.files import replace_file
from resnet_jax.runs.writers import Writer


class Report:
    """Writes one JSON object a line to metrics.jsonl, and shows progress on a terminal (a line per record elsewhere).

    The numbers go to `writers` too, as "train/loss", "test/top1", ... Without a folder it writes and shows nothing.
    With `test_due` the test of `start_step` is still to be made. Where nobody reads what is printed any more (a pipe,
    a terminal that was closed), printing ends and nothing else does.

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
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        test_due: bool = False,
        writers: Sequence[Writer] = (),
        console: Console | None = None,
    ) -> None:
        self._folder, self._writers = folder, writers
        self._console = console or _console(quiet=folder is None)
        self._file = self._nonfinite = None
        if folder is not None:
            file, self._nonfinite = folder / "metrics.jsonl", folder / "nonfinite.jsonl"
            for written in (file, self._nonfinite):
                _drop_after(written, start_step, test_due)
            self._file = file.open("a")
        self._total, self._steps_per_epoch, self._step = total_steps, steps_per_epoch, start_step
        self._batch_size = batch_size
        self._began = time.monotonic()
        self._timed = (self._began, start_step)  # from when, and which step, the pace is taken
        self._doing: tuple[str, float] | None = None  # what goes on beside training steps, and since when
        self._numbers: tuple[str, str] = ("", "")  # loss and pace of the last record
        self._live = self._console.is_interactive and folder is not None
        self._bar = Live(get_renderable=self._line, console=self._console, refresh_per_second=5, transient=True)

    def __enter__(self) -> Report:
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
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
        self._step = step

    @contextmanager
    def compiling(self, what: str) -> Iterator[None]:
        """While `what` is compiled and run for the first time; the pace is that of the steps after it."""
        if not self._live:
            self.say(f"compiling {what}")
        began = time.monotonic()
        with self._busy(f"compiling {what}"):
            yield
        self.say(f"compiled {what} in {time.monotonic() - began:.1f} s")
        self._timed = (time.monotonic(), self._step)

    @contextmanager
    def testing(self) -> Iterator[None]:
        """While test images are classified."""
        with self._busy("testing"):
            yield

    @contextmanager
    def _busy(self, what: str) -> Iterator[None]:
        self._doing = (what, time.monotonic())
        try:
            yield
        finally:
            self._doing = None
            if self._live:
                self._bar.refresh()

    def train(self, step: int, values: dict[str, Any]) -> None:
        """Means over the steps since the last record; `images_per_second` is None before it is known."""
        rate = values["images_per_second"]
        pace = f"{rate:,.0f} images/s" if rate else "- images/s"
        loss, top1 = ("-" if values[name] is None else f"{values[name]:.4f}" for name in ("loss", "top1"))
        self._numbers = (f"loss {loss}", pace)
        if not self._live:
            times = f"elapsed {_span(time.monotonic() - self._began)}  remaining {self._remaining(step)}"
            self.say(f"{self._place(step)}  loss {loss}  top-1 {top1}  {pace}  {times}")
        self._write({"step": step, "split": "train", **values})

    def test(self, step: int, values: dict[str, Any], *, best: bool = False) -> None:
        """Means over the test images, and their number, "images". `best`: better than every test before."""
        place, note = self._place(step), ", the best so far" if best else ""
        self.say(f"{place}  test: {_means(values)}  ({values['images']} images{note})")
        if "ema_loss" in values:
            self.say(f"{place}  test, averaged weights: {_means(values, 'ema_')}")
        self._write({"step": step, "split": "test", **values})

    def nonfinite(self, step: int, examples: Sequence[int], names: Sequence[str] = ()) -> None:
        """A step whose loss or gradient is not finite, and its batch's training examples (with their `names`, where
        there are any): in nonfinite.jsonl.
        """
        if self._nonfinite is not None:
            record = {"step": step, "examples": list(examples)} | ({"names": list(names)} if names else {})
            with self._writing(), self._nonfinite.open("a") as file:
                file.write(json.dumps(record) + "\n")

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
        """One line, as it is; a terminal breaks it between words."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=not self._console.is_terminal)

    @property
    def elapsed(self) -> str:
        """Since this start: "1:05"."""
        return _span(time.monotonic() - self._began)

    def _place(self, step: int) -> str:
        return "  ".join([*self._epoch(step), f"step {step}/{self._total}"])

    def _epoch(self, step: int) -> list[str]:
        if not self._steps_per_epoch:
            return []
        return [f"epoch {step / self._steps_per_epoch:.2f}/{round(self._total / self._steps_per_epoch, 2):g}"]

    def _remaining(self, step: int) -> str:
        """By the steps of this start, with the tests and saves among them."""
        since, first = self._timed
        if step <= first:
            return "-"
        return _span((self._total - step) * (time.monotonic() - since) / (step - first))

    def _line(self) -> Table:
        """The bar: one line, of which a narrow terminal leaves out what matters least."""
        step, room = self._step, self._console.width - 1
        loss, pace = self._numbers
        since, first = self._timed
        if not pace and self._batch_size and step > first:  # before the first record
            pace = f"{(step - first) * self._batch_size / (time.monotonic() - since):,.0f} images/s"
        parts = [(1, text) for text in self._epoch(step)]  # with their importance, 0 first
        parts += [(2, f"{100 * step // self._total}%"), (3, f"remaining {self._remaining(step)}")]
        parts += [(5, f"elapsed {self.elapsed}"), (4, pace), (6, loss)]
        if self._doing is not None:
            what, since = self._doing
            parts = [(0, f"{what} {_span(time.monotonic() - since)}"), *parts[:-2]]
        shown: set[tuple[int, str]] = set()
        for part in sorted(parts):
            if part[1] and _width([*shown, part]) <= room:
                shown.add(part)
        left = room - _width(shown) - 2
        bar = [ProgressBar(self._total, step, width=min(30, left))] if left >= 5 else []
        left_most, *others = [part[1] for part in parts if part in shown] or [""]
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(left_most, *bar, *others)
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


class _Output:
    """A stream whose reader may go away: from then on what is written is dropped, and the run goes on."""

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
            # What Python still holds of it would fail once more as the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _console(quiet: bool) -> Console:
    """A terminal only where stdout is one, whatever FORCE_COLOR says; a notebook gets lines, as a file does."""
    terminal = sys.stdout.isatty()
    output: Any = _Output(sys.stdout)
    return Console(file=output, quiet=quiet, force_terminal=terminal, force_jupyter=False)


def _means(values: dict[str, Any], prefix: str = "") -> str:
    tops = [f"top-{k} {values[f'{prefix}top{k}']:.4f}" for k in (1, 5) if f"{prefix}top{k}" in values]
    return "  ".join([f"loss {values[f'{prefix}loss']:.4f}", *tops])


def _width(parts: Iterable[tuple[int, str]]) -> int:
    """Columns of these texts beside each other."""
    return sum(len(text) + 2 for _, text in parts) - 2


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
