"""Buffers step metrics, writes records and detects non-finite values."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.errors import Diverged
from resnet_jax.metrics.typed import Last, Mean, Sum
from resnet_jax.runs.loop.interval import Interval, StepMetrics, restored_metrics, saved_metrics
from resnet_jax.runs.loop.reporter import RunReporter
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.training.metrics import reported
from resnet_jax.types import Batch

AHEAD = 3  # calls of the compiled steps that run at the same time, at most
SHOWN = 3  # names of examples in a message
ADVICE = "try a lower --optim.peak-lr, or --optim.clip-norm 1"


class MetricsRecorder:
    """Buffers the metrics of steps that may still be running, and reads each interval when the next one has ended.

    So the host waits for the devices only at the first step and before a test or a save.

    Args:
      saved: metrics of the interval that the checkpoint of `start` interrupted (`pause`); it continues with them.
    """

    def __init__(
        self, trainer: Trainer, reporter: RunReporter, checkpoints: Checkpoints, start: int, saved: Mapping[str, Any]
    ) -> None:
        plan = trainer.plan
        self._every, self._batch_size = plan.config.train.log_every_steps, plan.config.data.batch_size
        self._steps_per_epoch = plan.steps_per_epoch
        self._trainer, self._reporter, self._checkpoints = trainer, reporter, checkpoints
        self._ended: Interval | None = None
        self._last = start  # the last step of `_ended`
        self._open = Interval(restored_metrics(saved))
        self._timed = self._step = start  # `_timed`: steps completed at `_clock`
        self._running: list[StepMetrics] = []
        self.skipped = 0  # updates, since this start
        self._waited = 0.0  # seconds since `_clock` spent waiting for batches, while devices may have computed
        self._clock = time.perf_counter()

    def wait_for(self, calls: Iterator[tuple[int, Batch]]) -> tuple[int, Batch]:
        """The next call's number of steps and batch, once few enough are running: each holds a batch on the devices."""
        if len(self._running) == AHEAD:
            jax.block_until_ready(self._running.pop(0))
        began = time.perf_counter()
        call = next(calls)
        self._waited += time.perf_counter() - began
        return call

    def add(self, step: int, metrics: StepMetrics, *, count: int = 1, compiled: bool = False) -> None:
        """Adds the metrics of the `count` steps of a call, the first of which is `step`; of several, arrays [count].

        `compiled`: their program was compiled just now.
        """
        self._running.append(metrics)
        if compiled:
            jax.block_until_ready(metrics)  # the rate excludes compilation
            self._timed = step + count - 1
            self.restart_clock()
        for i in range(count):
            self._step = step + i
            self._open.unread.append((self._step, metrics, i if count > 1 else None))
            self._reporter.advance(self._step)
            if self._step % self._every == 0:
                self._read(self._pace())
                self._end_interval()

    def flush(self) -> None:
        """Ends the interval here, and reads and writes everything."""
        jax.block_until_ready([metrics for _, metrics, _ in self._open.unread])
        pace = self._pace()
        self._read(pace)
        if self._open:
            self._end_interval()
            self._read(pace)

    def pause(self) -> dict[str, Any]:
        """Reads everything and flushes complete records to disk; returns the unfinished interval for a checkpoint."""
        self._read(self._pace())
        self._absorb(self._open)
        self._reporter.sync()
        return saved_metrics(self._open.merged)

    def restart_clock(self) -> None:
        self._clock, self._waited = time.perf_counter(), 0.0

    def check_test(self, step: int, results: dict[str, float]) -> None:
        """Raises Diverged for a loss that is not finite, after deleting the checkpoint of `step`."""
        for name, value in results.items():
            if name in ("loss", "ema_loss") and not math.isfinite(value):
                self._checkpoints.discard(step)
                raise Diverged(f"test {name} is {value} at step {step}; {self._newest()}; {ADVICE}")

    def _end_interval(self) -> None:
        self._ended, self._last, self._open = self._open, self._step, Interval()

    def _pace(self) -> dict[str, float | None]:
        """Images per second and the share of time spent waiting for data, since the last call; None at first."""
        if self._ended is not None:
            jax.block_until_ready([metrics for _, metrics, _ in self._ended.unread])
        unread = self._open.unread + (self._ended.unread if self._ended else [])
        done = max((step for step, metrics, _ in unread if _is_ready(metrics)), default=self._timed)
        steps, now = done - self._timed, time.perf_counter()
        if steps <= 0:
            return {"images_per_second": None, "data_wait": None}
        seconds, waited = now - self._clock, self._waited
        self._timed, self._clock, self._waited = done, now, 0.0
        return {"images_per_second": steps * self._batch_size / seconds, "data_wait": waited / seconds}

    def _read(self, pace: dict[str, float | None]) -> None:
        """Writes the record of the ended interval, if it is not written yet."""
        if self._ended is None:
            return
        self._absorb(self._ended)
        values, self._ended = reported(self._ended.merged), None
        if (skipped := values.pop("skipped", None)) is not None:
            values["skipped"] = round(skipped)
        rate = values.pop("learning_rate", None)  # of steps whose rate depends on their losses
        values |= {"learning_rate": self._trainer.rate(self._last) if rate is None else rate, **pace}
        self._reporter.train(self._last, {"epoch": self._last / self._steps_per_epoch, **values})

    def _absorb(self, interval: Interval) -> None:
        steps = interval.fetch()
        for step, metrics in steps:
            self._check(step, metrics)
        interval.add([metrics for _, metrics in steps])

    def _check(self, step: int, metrics: StepMetrics) -> None:
        loss, norm, skipped_steps = metrics["loss"], metrics["grad_norm"], metrics.get("skipped")
        assert isinstance(loss, Mean) and isinstance(norm, Mean)
        skipped = isinstance(skipped_steps, Sum) and bool(skipped_steps.value)
        if math.isfinite(loss.total) and math.isfinite(norm.total) and not skipped:
            return
        examples = self._trainer.examples(step)
        names = self._trainer.names(step)
        self._reporter.nonfinite(step, examples, names)
        shown = f"{', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
        if skipped:
            self.skipped += 1
            self._reporter.print(f"step {step} skipped: its loss or gradient is not finite; training examples {shown}")
            return
        problem = f"training loss is {float(loss.total) / (float(loss.count) or 1)}"
        if math.isfinite(loss.total):
            problem = f"the gradient's norm is {float(norm.total)}"
        scaled = metrics.get("learning_rate")
        rate = float(scaled.value) if isinstance(scaled, Last) else self._trainer.rate(step)
        where = f"at step {step}, learning rate {rate:.4g}"
        examples_note = f"training examples {shown} (all in nonfinite.jsonl)"
        raise Diverged(f"{problem} {where}; {examples_note}; {self._newest()}; {ADVICE}")

    def _newest(self) -> str:
        latest = self._checkpoints.latest_step
        if latest is None:
            return "there is no checkpoint yet"
        return f"the newest checkpoint: {self._checkpoints.directory / str(latest)}"


def _is_ready(metrics: StepMetrics) -> bool:
    """Whether the step that these metrics are of has ended."""
    return all(leaf.is_ready() for leaf in jax.tree.leaves(metrics["loss"]))
