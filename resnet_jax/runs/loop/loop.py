"""The loop of a run: steps, saves and tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np

from resnet_jax.checkpoints.best import BestTest
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import Checkpoint, saved_steps
from resnet_jax.config import flat, to_dict
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.distributed import processes
from resnet_jax.distributed.signals import Signals
from resnet_jax.errors import Diverged, EvaluationStopped, Preempted, SaveFailed, SetupError, public_address
from resnet_jax.metrics import confusion
from resnet_jax.runs.files.config_file import record_config
from resnet_jax.runs.files.directory import remove_reports
from resnet_jax.runs.files.image_record import make_record, write_record
from resnet_jax.runs.loop.calls import calls
from resnet_jax.runs.loop.memory import is_out_of_memory, out_of_memory
from resnet_jax.runs.loop.pictures import batch_picture
from resnet_jax.runs.loop.recorder import MetricsRecorder
from resnet_jax.runs.loop.reporter import RunReporter
from resnet_jax.runs.loop.skipped import SkippedImages
from resnet_jax.runs.loop.summary import finished_line, summary_lines
from resnet_jax.runs.loop.writers import open_writers
from resnet_jax.runs.planning.checks import eval_batch_size, length_option
from resnet_jax.runs.planning.data_changes import shared_note
from resnet_jax.runs.planning.messages import headline, less_memory
from resnet_jax.runs.planning.metadata import checkpoint_metadata
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.starting.opening import restore_state, resume_notes
from resnet_jax.runs.starting.warm_start import WarmStart
from resnet_jax.types import Batch

TESTING = "in the test"


class TrainingLoop:
    """A run whose directory is locked: `start` restores or initialises its state, `run` trains it to its end."""

    def __init__(
        self, trainer: Trainer, directory: Path, checkpoints: Checkpoints, signals: Signals, start: int
    ) -> None:
        self._trainer, self._plan, self._parallel = trainer, trainer.plan, trainer.parallel
        self._directory, self._checkpoints, self._signals = directory, checkpoints, signals
        self._config = trainer.plan.config
        self._best = BestTest(self._plan.best)
        self._warm_started: dict[str, Any] | None = None  # source of the run's first weights
        self._start = self._saved = self._completed = start  # steps
        self._activity = "in the first step"
        self._programs: set[tuple[int, int, tuple[int, ...]]] = set()  # of this start: phase, steps, shape of a batch
        self._first: tuple[Batch, Any] | None = None  # the first batch and the run's key, until the batch is shown
        self._save_answer: jax.Array | None = None  # whether any process had to save at the last record
        self._saved_at = time.monotonic()

    def start(
        self, checkpoint: Checkpoint | None, begin: WarmStart | None, notes: list[str], *, is_data_changed: bool
    ) -> None:
        """Restores or initialises the state, and writes config.json and images.npz.

        Raises:
          SetupError: the checkpoint does not fit the config.
          ValueError, OSError: a file of the run is corrupted or cannot be written.
        """
        state, metadata = self._trainer.fresh(None if begin is None else begin.variables), {}
        if begin is not None:
            self._warm_started = {
                "from": public_address(str(self._config.init.from_)),
                "step": begin.step,
                **begin.origin,
            }
        if checkpoint is not None:
            metadata = checkpoint.metadata
            is_local = self._config.model.bn_axis is None
            notes = notes + resume_notes(metadata, len(self._parallel.devices), is_local=is_local)
            state = restore_state(checkpoint, state, self._config)
            self._warm_started = metadata.get("begun")
            self._restore_best(checkpoint)
        if self._start > self._plan.steps:
            length = f"{length_option(self._config)} is {self._plan.steps} steps"
            problem = f"{length}, and the run in {self._directory} has completed {self._start}"
            raise SetupError(f"{problem}; expected at least as many")
        self._notes = notes + shared_note(self._plan)
        self._is_test_due = metadata.get("evaluation_due", False)
        self._has_work = self._is_test_due or (self._start < self._plan.steps and not self._stops_early())
        self._reporter = self._open_reporter()
        if processes.is_first():  # only now is it certain that the run can resume
            is_complete = self._plan.record is not None or not is_data_changed
            record = make_record(*self._plan.identities, self._plan.record, complete=is_complete, metadata=metadata)
            write_record(self._directory, record)
            record_config(self._directory, self._config, self._start)
            if not self._start:
                remove_reports(self._directory)
        self._state = self._parallel.replicate(state)
        self._recorder = MetricsRecorder(
            self._trainer, self._reporter, self._checkpoints, self._start, metadata.get("log", {})
        )

    def _restore_best(self, checkpoint: Checkpoint) -> None:
        """Restores the best test: from the checkpoint, or, for another measure or 0.1.0, from all that are kept."""
        saved = checkpoint.metadata.get("best")
        if saved and saved["measure"] == self._best.measure.name:
            self._best.restore(saved)
            if checkpoint.test_results:
                self._best.add(checkpoint.step, checkpoint.test_results)
        else:
            self._best.restore_scores(self._checkpoints.scores, every=self._plan.eval_every_steps)

    def _open_reporter(self) -> RunReporter:
        is_first, task, log = processes.is_first(), self._plan.task, self._config.log
        writers = []
        if is_first and self._has_work:
            writers = open_writers(
                self._directory,
                tensorboard=log.tensorboard,
                wandb=log.wandb,
                wandb_project=log.wandb_project,
                start_step=self._start,
                measures=task.measures,
                hyperparameters=flat(to_dict(self._config)),
            )
        return RunReporter(
            self._directory if is_first else None,
            start_step=self._start,
            total_steps=self._plan.steps,
            steps_per_epoch=self._plan.steps_per_epoch,
            batch_size=self._config.data.batch_size,
            titles=task.titles or {name: name for name in task.measures if name != "loss"},
            test_due=self._is_test_due,
            examples=self._plan.nouns[1],
            writers=writers,
        )

    def run(self) -> dict[str, float]:
        """Trains and tests to the end; returns the results of the last test. Raises what `train` does."""
        reporter = self._reporter
        with reporter:
            for line in [headline(self._plan, self._parallel, self._directory, self._start), *self._notes]:
                reporter.print(line)
            sources = {"train": self._plan.train, "test": self._plan.test}
            self._skipped = SkippedImages(sources, reporter, self._directory, self._plan.nouns)
            try:
                results = self._advance() if self._has_work else self._test_finished_run()
            except (Diverged, Preempted, SaveFailed):
                raise
            except Exception as error:
                # Whatever ends the run, completed steps are saved first. A full disk hides neither them nor the error.
                self._save_after_error()
                if is_out_of_memory(error):
                    raise out_of_memory(error, self._activity, self._advice()) from error
                raise
            if not self._has_work:
                reporter.print(finished_line(self._plan, self._start, results))
                return results
            self._checkpoints.wait()
            self._write_details(self._completed, results)
            skipped, elapsed = self._recorder.skipped, reporter.elapsed
            for line in summary_lines(
                self._plan, self._completed, results, self._best, skipped=skipped, elapsed=elapsed
            ):
                reporter.print(line)
            return results

    def _advance(self) -> dict[str, float]:
        """Makes all remaining steps and tests; returns the results of the last test."""
        results: dict[str, float] = {}
        if self._is_test_due:
            self._signals.has_progress = True
            results = self._test(self._start)
            if self._stops_early():
                return results
        for count, batch in self._calls():
            self._make_steps(count, batch)
            self._show_first()
            step = self._completed
            if step % self._plan.eval_every_steps == 0 or step == self._plan.steps:
                results = self._test(step)
                if self._stops_early():
                    break
            elif self._is_save_due(count):
                self._save(step)
            if step < self._plan.steps and self._signals.stop_requested():
                if self._saved < step:
                    self._save(step)
                self._checkpoints.wait()
                raise self._signals.preempted(step)
        return results

    def _make_steps(self, count: int, batch: Batch) -> None:
        """Makes `count` steps in one call of the compiled program."""
        first, last = self._completed + 1, self._completed + count
        self._activity = f"in step {first}" if first == last else f"in steps {first} to {last}"
        program = self._new_program(first, count, batch)
        with self._reporter.compiling(program) if program else nullcontext():
            self._state, metrics = self._trainer.train_steps(first, self._state, batch, count)
            self._recorder.add(first, metrics, count=count, compiled=bool(program))
        self._completed, self._signals.has_progress = last, True

    def _new_program(self, step: int, count: int, batch: Batch) -> str:
        """What the call compiles, for the user: its steps, for each length of sequences; "" for nothing."""
        shape, train = batch["image"].shape, self._plan.train
        program = (self._trainer.phase(step), count, shape)
        if program in self._programs:
            return ""
        self._programs.add(program)
        name = "the training step" if count == 1 else f"{count} training steps"
        if not isinstance(train, SequenceLoader) or len(train.ends) == 1:
            return name
        length = shape[-1 if train.preprocess.dtype == np.int32 else -2]
        return f"{name} for a length of {length}"

    def _calls(self) -> Iterator[tuple[int, Batch]]:
        """The numbers of steps of all remaining calls, and their batches on the devices."""
        host = self._trainer.batches(self._start)
        if self._reporter.shows_images and self._start < self._plan.steps:
            first = next(host)
            self._first = first, jax.device_get(self._state.key)  # before the first step takes the state over
            host = chain([first], host)
        ahead = self._parallel.prefetch_calls(calls(host, self._start, self._plan))
        completed = self._start
        while completed < self._plan.steps:
            call = self._recorder.wait_for(ahead)
            completed += call[0]
            yield call

    def _show_first(self) -> None:
        """Reports a picture of the first batch, once. It takes programs of its own, which the first step precedes."""
        if self._first is not None:
            picture = batch_picture(self._trainer, *self._first, self._start)
            self._reporter.image(self._start, "train/images", picture)
            self._first = None

    def _stops_early(self) -> bool:
        patience = self._config.train.patience
        return patience is not None and self._best.tests_since >= patience

    def _test(self, step: int) -> dict[str, float]:
        """Saves the state, then tests it. After a signal or an error meanwhile, the resumed run repeats the test."""
        self._recorder.flush()
        if self._saved < step:
            self._save(step, test_due=True)
        self._activity = TESTING
        try:
            with self._reporter.testing():
                results = self._trainer.test(self._state, self._signals.stop_requested)
        except EvaluationStopped:
            self._checkpoints.wait()
            raise self._signals.preempted(step) from None
        self._recorder.check_test(step, results)
        is_best = self._best.add(step, results)
        self._reporter.test(step, {"epoch": step / self._plan.steps_per_epoch, **results}, best=is_best)
        if self._reporter.shows_images and (picture := self._trainer.draw_examples()) is not None:
            self._reporter.image(step, "test/examples", picture)
        self._checkpoints.record_test(step, results)
        self._skipped.update()
        self._recorder.restart_clock()
        return results

    def _test_finished_run(self) -> dict[str, float]:
        self._activity = TESTING
        with self._reporter.testing():
            results = self._trainer.test(self._state)
        self._skipped.update()
        if not any((self._directory / confusion.FOLDER).glob("*.json")):
            self._write_details(self._start, results)
        return results

    def _write_details(self, step: int, results: dict[str, float]) -> None:
        """Writes and reports details of the last test, such as the results of each class."""
        if not processes.is_first():
            return
        directory = self._directory / confusion.FOLDER
        metadata = {"run": self._directory.name, "step": step, "ema": False, "data": self._plan.data_name}
        metadata |= {"protocol": "single", **results}
        try:
            details = self._plan.task.write_details(self._trainer.evaluator, directory, metadata)
        except OSError as error:
            problem = f"{directory} cannot be written: {error}"
            raise SaveFailed(f"{problem}; the run's checkpoints are unchanged") from error
        if details is not None:
            file = Path(self._config.workdir) / confusion.FOLDER / details.file.name
            self._reporter.print(f"{details.line}; all in {file}")

    def _is_save_due(self, steps: int) -> bool:
        """Whether to save after a call of `steps` steps."""
        config, step, every = self._config.checkpoint, self._completed, self._config.train.log_every_steps
        if config.every_steps and step % config.every_steps == 0:
            return True
        at_record = step // every > (step - steps) // every
        is_due = (at_record or jax.process_count() == 1) and self._signals.save_requested()
        if at_record and config.every_minutes and processes.is_first():
            is_due |= time.monotonic() - self._saved_at >= 60 * config.every_minutes
        if jax.process_count() == 1 or not at_record:
            return is_due
        # The answer is read at the next record: reading it now would wait for the steps that are running.
        answer, self._save_answer = self._save_answer, self._parallel.any(is_due)
        return answer is not None and bool(jax.device_get(answer))

    def _save(self, step: int, *, test_due: bool = False) -> None:
        unfinished = self._recorder.pause()  # raises for non-finite values, which are never saved
        if processes.is_first() and not (self._directory / "config.json").is_file():
            # Orbax would make a new directory of this name, without the run's config and metrics.
            problem = f"{self._directory} was removed or moved during training"
            raise SaveFailed(f"{problem}: it has no config.json")
        metadata = checkpoint_metadata(self._plan, step) | {
            "devices": len(self._parallel.devices),
            "log": unfinished,
            "evaluation_due": test_due,
            "begun": self._warm_started,
            "best": self._best.saved(),
        }
        self._checkpoints.save(step, self._state, metadata, test_due=test_due)
        self._saved, self._saved_at = step, time.monotonic()

    def _save_after_error(self) -> None:
        """Saves the last completed step, if its state is intact and there is one process: a save needs all of them."""
        if jax.process_count() == 1:
            try:
                is_intact = not any(leaf.is_deleted() for leaf in jax.tree.leaves(self._state))
                is_unsaved = is_intact and self._completed > self._saved
                if is_unsaved and int(jax.device_get(self._state.step)) == self._completed:
                    self._save(self._completed)
                self._checkpoints.wait()
            except (Diverged, SaveFailed, MemoryError, jax.errors.JaxRuntimeError) as error:
                self._reporter.print(f"step {self._completed} is not saved: {str(error).partition(chr(10))[0]}")
            if steps := saved_steps(self._checkpoints.directory):
                self._reporter.print(f"step {steps[-1]} is saved; the same command resumes from there")
        try:
            self._skipped.update()
        except SaveFailed as failed:
            self._reporter.print(str(failed))

    def _advice(self) -> str:
        """Options that use less memory, for what ran out of it."""
        if self._activity == TESTING:
            return f"a lower --data.eval-batch-size (now {eval_batch_size(self._config)}) uses less"
        return less_memory(self._config)
