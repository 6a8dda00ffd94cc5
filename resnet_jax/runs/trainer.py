"""The training loop: Config in, metrics out. Config stops here: below, functions take ordinary arguments."""

from __future__ import annotations

import json
import os
import shlex
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import jax

from resnet_jax.checkpoints.best import BestTest
from resnet_jax.checkpoints.manager import Checkpoint, Checkpoints, newest_sound, open_checkpoint
from resnet_jax.config import Config, check_config, flat, place, to_dict
from resnet_jax.data.contact_sheet import as_seen
from resnet_jax.data.sources.formats import is_image_folder
from resnet_jax.distributed import processes as distributed
from resnet_jax.distributed.devices import Parallel
from resnet_jax.distributed.signals import Signals
from resnet_jax.errors import (
    DataError,
    Diverged,
    EvaluationStopped,
    OutOfMemory,
    PeerFailed,
    Preempted,
    SaveFailed,
    SetupError,
)
from resnet_jax.extras import check_installed, install_command, is_installed
from resnet_jax.files import expanded, replace_file
from resnet_jax.metrics import confusion
from resnet_jax.runs.build import Session
from resnet_jax.runs.directory import (
    adopt_holdout,
    check_unchanged,
    has_results,
    make_folder,
    read_config,
    record_config,
    remove_empty_run,
    remove_reports,
    versions,
)
from resnet_jax.runs.image_record import NO_RECORD, make_record, read_record, trained_on, write_record
from resnet_jax.runs.lock import locked
from resnet_jax.runs.memory import is_out_of_memory, out_of_memory
from resnet_jax.runs.numerics import NUMERICS, numerics_note
from resnet_jax.runs.plan import (
    Plan,
    adopt_preprocess,
    check_deterministic,
    check_split,
    check_values_per_channel,
    data_changes,
    data_facts,
    eval_batch,
    length,
    make_plan,
    record_of,
    shared_note,
    with_recorded_classes,
)
from resnet_jax.runs.recorder import Log
from resnet_jax.runs.reporter import Report
from resnet_jax.runs.warm_start import Start, check_source, start_from
from resnet_jax.runs.writers import TensorBoard, WandB, Writer
from resnet_jax.tasks import Task
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import step_keys
from resnet_jax.types import Batch

__all__ = ["Diverged", "OutOfMemory", "PeerFailed", "Preempted", "SaveFailed", "SetupError", "train"]

TESTING = "in the test"


def train(config: Config, task: Task | None = None) -> dict[str, float]:
    """Trains, or goes on training, the run that `config` describes; returns the means of its last evaluation.

    `task` is used instead of the one that `config.task` names.

    Several processes call it with the same config, each with its own `distributed`. In the main thread it handles
    SIGTERM, SIGHUP and Ctrl-C while it runs, and SIGUSR1 and SIGUSR2, which make it save.

    A state is saved before it is tested. An error of the data or the device after that saves the last step made, where
    its state is whole and there is one process.

    Raises:
      SetupError: a value that cannot be, before any work.
      DataError: an image that cannot be read or has a wrong label; at once, or when it is reached.
      Diverged: the loss or a gradient became infinite or nan, and such steps are not to be skipped.
      Preempted: SIGTERM, SIGHUP or Ctrl-C; what was done is saved.
      SaveFailed: a checkpoint or a record could not be written.
      OutOfMemory: a device has too little memory for a batch.
      PeerFailed: another process could not start, or is lost.
    """
    try:
        check_config(config)
        distributed.start(**asdict(config.distributed))
    except ValueError as error:
        raise SetupError(str(error)) from error
    with Signals() as signals, ExitStack() as held:
        try:
            return _train(config, task, signals, held)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise out_of_memory(error, "before the first step", _less_memory(config)) from error
            if jax.process_count() == 1:
                raise
            raise PeerFailed(
                "an operation of all processes has failed, as it does when one of them is lost "
                f"({str(error).partition(chr(10))[0]}); start all again to go on from the last save"
            ) from error


def _train(config: Config, task: Task | None, signals: Signals, held: ExitStack) -> dict[str, float]:
    with _fail_together():
        plan, parallel, folder, notes, found = _get_ready(config, task, held)
    start = distributed.first_says(found.step if found else 0)
    begun: Start | None = None
    try:
        if not start and config.init.from_ is not None:
            plan, begun = _begin(config.init.from_, plan)
        with _fail_together():
            if start:
                found = found or open_checkpoint(folder, start)
                plan = with_recorded_classes(adopt_preprocess(plan, found.preprocess), found.meta)
            elif begun is not None:
                notes += [begun.said, *_note_trained_images(begun, plan)]
            session = Session(plan, parallel)
    except (DataError, SetupError, PeerFailed):
        if distributed.is_first():
            remove_empty_run(folder)
        raise
    cache_compilations()
    kept = config.checkpoint
    checkpoints = Checkpoints(
        folder / "checkpoints", keep_latest=kept.keep_latest, best=kept.best, first=distributed.is_first()
    )
    with checkpoints:
        return _Run(session, folder, checkpoints, signals, start).go(found, begun, notes)


@contextmanager
def _fail_together() -> Iterator[None]:
    """Collective: work that each process does alone, which ends in all of them or in none.

    Raises:
      DataError, SetupError: the work of this process failed.
      PeerFailed: that of another one did.
    """
    failure: Exception | None = None
    try:
        yield
    except (DataError, SetupError) as error:
        failure = error
    except (ValueError, TypeError, OSError) as error:
        failure = SetupError(str(error))
        failure.__cause__ = error
    distributed.together(failure)


def _begin(source: str, plan: Plan) -> tuple[Plan, Start]:
    """The weights of `source`, of the step that the first process finds; and the plan that normalises as they do."""
    init, begun, failure = plan.config.init, None, None
    for of_first in (True, False):
        if of_first == distributed.is_first():
            try:
                begun = start_from(source, plan.model, plan.train.classes, head=init.head, step=init.step, ema=init.ema)
                plan = adopt_preprocess(plan, begun.preprocess)
                if len(plan.preprocess.mean) != plan.train.image_shape[-1]:
                    said = f"{source} normalises {len(plan.preprocess.mean)} channels; these images have"
                    raise ValueError(f"{said} {plan.train.image_shape[-1]}; set data.mean and data.std")
            except (ValueError, OSError) as error:
                failure = SetupError(f"init.from: {error}")
                failure.__cause__ = error
        distributed.together(failure)
        step = distributed.first_says(-1 if begun is None or begun.step is None else begun.step)
        init = init if step < 0 else replace(init, step=str(step))
    assert begun is not None
    return plan, begun


def _note_trained_images(start: Start, plan: Plan) -> list[str]:
    """A note on test images that the run whose weights these are was trained on, if there are any.

    Raises:
      ValueError: the record of its images is corrupted.
    """
    if start.run is None:
        return []
    record = record_of(start.run, start.meta)
    is_own = record is not None and place(plan.config.data) == place(read_config(start.run).data)
    mask, known = trained_on(plan.test.examples, [(record, is_own)])
    images, run = f"{int(mask.sum()):,} of the {len(mask):,} test images", plan.config.init.from_
    notes = [f"{run} was trained on {images}: their test numbers are too good"] if mask.any() else []
    return notes if known else [*notes, f"whether {run} was trained on test images is not known: see its images.npz"]


def _get_ready(
    config: Config, task: Task | None, held: ExitStack
) -> tuple[Plan, Parallel, Path, list[str], Checkpoint | None]:
    """All that can be wrong; the folder, which stays locked while `held` is; what there is to tell of it; and, in the
    first process, the checkpoint to go on from.
    """
    folder, found = expanded(config.workdir).resolve(), None
    _check_outside(folder, config.data.path)
    if config.init.from_ is not None and not has_results(folder):
        try:
            check_source(config.init.from_)
        except FileNotFoundError as error:
            raise ValueError(f"init.from: {error}") from None
    typed = config.data.holdout
    config = adopt_holdout(folder, config)
    plan = make_plan(config, read_record(folder) if has_results(folder) else None, task)
    notes = list(plan.notes)
    if config.data.holdout != typed:
        notes.append(f"data.holdout={config.data.holdout}: images are read and held out as when this run began")
    if config.log.tensorboard:
        check_installed("tensorboardX")
    if config.log.wandb != "off":
        check_installed("wandb")
    if config.data.image_size is not None:  # the streaming loader
        check_installed("grain")
    parallel = Parallel(config.train.parallel)
    check_split(config, len(parallel.devices), parallel.share[1])
    check_values_per_channel(plan, len(parallel.devices))
    if config.train.deterministic:
        check_deterministic(parallel.devices[0].platform, os.environ.get("XLA_FLAGS", ""))
    if distributed.is_first():
        make_folder(folder)
        left = held.enter_context(locked(folder))
        if left is not None:
            notes.append(f"an earlier start has not ended in order: {left}")
        notes += check_unchanged(folder, config)
        make_folder(folder / "checkpoints")
        found, told = newest_sound(folder / "checkpoints")
        notes += told
        if found and not (folder / "config.json").exists():
            notes += check_unchanged(folder, config, found.meta.get("config"))
    return plan, parallel, folder, notes, found


def _check_outside(folder: Path, data_path: str | None) -> None:
    """Raises ValueError for a new run's folder in a folder of images: its files would be taken for data."""
    if not data_path or has_results(folder):  # what a run has written there has done no harm
        return
    images = expanded(data_path).resolve()
    if (folder == images or images in folder.parents) and is_image_folder(images):
        wanted = f"a folder outside, as --workdir {shlex.quote(str(images.parent / 'runs' / images.name))}"
        raise ValueError(f"the workdir {folder} is inside of data.path {images}; expected {wanted}")


class _Run:
    """A run that has its folder."""

    def __init__(self, session: Session, folder: Path, checkpoints: Checkpoints, signals: Signals, start: int) -> None:
        self._session, self._plan, self._parallel = session, session.plan, session.parallel
        self._folder, self._checkpoints, self._signals = folder, checkpoints, signals
        self._begun: dict[str, Any] | None = None  # what the run's first weights were
        self._config = session.plan.config
        self._best = BestTest(self._config.checkpoint.best)
        self._start = self._saved = self._made = start
        self._doing = "in the first step"
        self._save_answer: jax.Array | None = None  # whether any process had to save at the last record
        self._data_changed = False  # since the run began
        self._saved_at = time.monotonic()

    def go(self, found: Checkpoint | None, begun: Start | None, notes: list[str]) -> dict[str, float]:
        with _fail_together():
            state, meta = self._session.fresh(None if begun is None else begun.variables), {}
            self._begun = None if begun is None else {"from": self._config.init.from_, "step": begun.step}
            if found is not None:
                notes = notes + self._changes(found.meta)  # first: other classes say more than arrays of other shapes
                state, meta = self._restored(found, state), found.meta
                self._begun = meta.get("begun")
                self._restore_best(found)
            if self._start > self._plan.steps:
                said = f"{length(self._config)} is {self._plan.steps} steps"
                raise SetupError(f"{said}, and the run in {self._folder} has made {self._start}; wanted: no fewer")
            notes = notes + shared_note(self._plan)
            due = meta.get("evaluation_due", False)
            going_on = due or (self._start < self._plan.steps and not self._early())
            report = self._report(going_on, due)
            if distributed.is_first():  # now that it is known to be one that can be gone on with
                complete = self._plan.record is not None or not self._data_changed
                record = make_record(*self._plan.identities, self._plan.record, complete=complete, meta=meta)
                write_record(self._folder, record)
                record_config(self._folder, self._config, self._start)
                if not self._start:
                    remove_reports(self._folder)
        self._state = self._parallel.replicate(state)
        del state  # the steps donate it
        with report:
            for line in [_headline(self._plan, self._parallel, self._folder, self._start), *notes]:
                report.say(line)
            self._skipped = _Skipped(self._plan, report, self._folder)
            log = Log(self._session, report, self._checkpoints, self._start, meta.get("log", {}))
            try:
                means = self._advance(due, log, report) if going_on else self._test_again(report)
            except (Diverged, Preempted, SaveFailed):
                raise
            except Exception as error:
                # Whatever ends the run, the steps made are saved first. A full disk hides neither them nor the error.
                self._save_before_leaving(log, report)
                try:
                    self._skipped.say()
                except SaveFailed as failed:
                    report.say(str(failed))
                if is_out_of_memory(error):
                    raise out_of_memory(error, self._doing, self._advice()) from error
                raise
            if not going_on:
                early = "; a larger --train.patience goes on with it" if self._start < self._plan.steps else ""
                report.say(f"this run is finished: {_shown(means)}; choose another --workdir for a new one{early}")
                return means
            self._checkpoints.wait()
            self._write_details(self._made, means, report)
            self._say_done(means, log, report)
            return means

    def _restore_best(self, found: Checkpoint) -> None:
        """The best test so far, as the checkpoint has it; by another measure, or of version 0.1.0, among those kept."""
        saved, scores = found.meta.get("best"), self._checkpoints.scores
        if saved and saved["measure"] == self._best.measure:
            self._best.restore(saved)
            if found.tested:
                self._best.add(found.step, found.tested)
        else:
            self._best.restore_scores(scores, every=self._plan.eval_every_steps)

    def _test_again(self, report: Report) -> dict[str, float]:
        """The test of a finished run."""
        self._doing = TESTING
        with report.testing():
            means = self._session.test(self._state)
        self._skipped.say()
        if not any((self._folder / confusion.FOLDER).glob("*.json")):
            self._write_details(self._start, means, report)
        return means

    def _advance(self, due: bool, log: Log, report: Report) -> dict[str, float]:
        """Every step and test that is left; returns the means of the last test."""
        means: dict[str, float] = {}
        if due:
            self._signals.at_stake = True
            means = self._test(self._start, log, report)
            if self._early():
                return means
        for step, batch in enumerate(self._batches(report, log), self._start + 1):
            self._doing = f"in step {step}"
            compiles = self._session.compiles(step, self._start)
            with report.compiling("the training step") if compiles else nullcontext():
                self._state, sums = self._session.train_step(step, self._state, batch)
                log.add(step, sums)
            self._made, self._signals.at_stake = step, True
            if step % self._plan.eval_every_steps == 0 or step == self._plan.steps:
                means = self._test(step, log, report)
                if self._early():
                    break
            elif self._due(step):
                self._save(step, log)
            if step < self._plan.steps and self._signals.reached():
                if self._saved < step:
                    self._save(step, log)
                self._checkpoints.wait()
                raise self._signals.preempted(step)
        return means

    def _early(self) -> bool:
        patience = self._config.train.patience
        return patience is not None and self._best.tests_since >= patience

    def _say_done(self, means: dict[str, float], log: Log, report: Report) -> None:
        if self._made < self._plan.steps:
            tests = f"{self._best.tests_since} tests without a better result (train.patience)"
            report.say(f"stopped early at step {self._made}, after {tests}; the best: {self._best}")
        elif self._best.step != self._made and self._best.value is not None:
            report.say(f"the best: {self._best}")
        skipped = f"; {log.skipped} updates skipped" if log.skipped else ""
        is_other = self._best.value is not None and self._best.step != self._made
        following = next_commands(self._config.workdir, "best" if is_other else "latest")
        report.say(f"done in {report.elapsed}: {_shown(means)}{skipped}; next: {following}")

    def _advice(self) -> str:
        """After running out of memory."""
        if self._doing == TESTING:
            return f"a lower --data.eval-batch-size (now {eval_batch(self._config)}) uses less"
        return _less_memory(self._config)

    def _save_before_leaving(self, log: Log, report: Report) -> None:
        """What ends the run is no reason to lose the last step made, if its state is whole.

        Of several processes this is one, while a save needs all.
        """
        if jax.process_count() > 1:
            return
        try:
            whole = not any(leaf.is_deleted() for leaf in jax.tree.leaves(self._state))
            if whole and self._made > self._saved and int(jax.device_get(self._state.step)) == self._made:
                self._save(self._made, log)
            self._checkpoints.wait()
        except (Diverged, SaveFailed, MemoryError, jax.errors.JaxRuntimeError) as error:
            report.say(f"step {self._made} is not saved: {str(error).partition(chr(10))[0]}")
        if self._saved:
            report.say(f"step {self._saved} is saved; the same command resumes from there")

    def _restored(self, found: Checkpoint, like: TrainState) -> TrainState:
        if self._config.resume.allow_changes and bool(found.arrays["ema"]) != bool(like.ema):
            # Averages may be left, or begin here.
            begun = {name: found.arrays[name] for name in like.ema}
            found = replace(found, arrays=found.arrays | {"ema": begun})
        try:
            return found.state(like)
        except ValueError as error:
            raise SetupError(str(error)) from error

    def _changes(self, meta: dict[str, Any]) -> list[str]:
        """What is not as it was when the checkpoint was made."""
        changes, notes = data_changes(self._plan, meta, self._plan.record)
        if changes and not self._config.resume.allow_changes:
            raise SetupError(f"{changes[0]}; choose another --workdir, or --resume.allow-changes")
        self._data_changed = bool(changes)
        told = [*changes, *notes]
        if "digests" not in meta.get("data", {}):
            told.append(NO_RECORD)
        told += numerics_note(meta)
        before, now = meta.get("devices", len(self._parallel.devices)), len(self._parallel.devices)
        if before != now:
            local = self._config.model.bn_axis is None
            effect = "batch statistics are those of a device, so numbers change" if local else "with the same numbers"
            told.append(f"the run had {before} device{'s' * (before > 1)} and goes on with {now}: {effect}")
        return told

    def _report(self, going_on: bool, test_due: bool) -> Report:
        first = distributed.is_first()
        try:
            writers = _writers(self._config, self._folder, self._start) if first and going_on else []
            return Report(
                self._folder if first else None,
                start_step=self._start,
                total_steps=self._plan.steps,
                steps_per_epoch=self._plan.steps_per_epoch,
                batch_size=self._config.data.batch_size,
                test_due=test_due,
                writers=writers,
            )
        except (ValueError, OSError) as error:
            raise SetupError(str(error)) from error

    def _batches(self, report: Report, log: Log) -> Iterator[Batch]:
        """On the devices, for every step that is left."""
        host = self._session.batches(self._start)
        if report.draws and self._start < self._plan.steps:
            first = next(host)
            with jax.transfer_guard("allow"):
                key = step_keys(jax.device_get(self._state.key), self._start)[0]
                seen = as_seen(first, self._session.augment, key, self._plan.preprocess)
            report.image(self._start, "train/images", seen)
            host = chain([first], host)
        batches = self._parallel.prefetch(host)
        for _ in range(self._start, self._plan.steps):
            yield log.wait_for(batches)

    def _test(self, step: int, log: Log, report: Report) -> dict[str, float]:
        """Saves, then tests. After a signal or an error on the way the test is done when the run goes on."""
        log.flush()
        if self._saved < step:
            self._save(step, log, test_due=True)
        self._doing = TESTING
        try:
            with report.testing():
                means = self._session.test(self._state, self._signals.reached)
        except EvaluationStopped:
            self._checkpoints.wait()
            raise self._signals.preempted(step) from None
        log.check_test(step, means)
        best = self._best.add(step, means)
        report.test(step, {"epoch": step / self._plan.steps_per_epoch, **means}, best=best)
        self._checkpoints.tested(step, means)
        self._skipped.say()
        log.restart_clock()
        return means

    def _write_details(self, step: int, means: dict[str, float], report: Report) -> None:
        """Writes and reports the last test's details, such as the numbers of each class."""
        if not distributed.is_first():
            return
        folder = self._folder / confusion.FOLDER
        facts = {"run": self._folder.name, "step": step, "ema": False, "data": self._plan.data_name}
        metadata = {**facts, "protocol": "single", **means}
        try:
            details = self._plan.task.write_details(self._session.evaluator, folder, metadata)
        except OSError as error:
            raise SaveFailed(f"{folder} cannot be written: {error}; the run's checkpoints are as they were") from error
        if details is not None:
            report.say(f"{details.line}; all in {Path(self._config.workdir) / confusion.FOLDER / details.file.name}")

    def _due(self, step: int) -> bool:
        every = self._config.checkpoint
        if every.every_steps and step % every.every_steps == 0:
            return True
        at_record = step % self._config.train.log_every_steps == 0
        asked = (at_record or jax.process_count() == 1) and self._signals.save_asked()
        if at_record and every.every_minutes and distributed.is_first():
            asked |= time.monotonic() - self._saved_at >= 60 * every.every_minutes
        if jax.process_count() == 1 or not at_record:
            return asked
        # The answer is read at the next record: now it would be waited for, behind the steps under way.
        answer, self._save_answer = self._save_answer, self._parallel.any(asked)
        return answer is not None and bool(jax.device_get(answer))

    def _save(self, step: int, log: Log, *, test_due: bool = False) -> None:
        partial = log.hold()  # nothing that is not finite is saved
        if distributed.is_first() and not (self._folder / "config.json").is_file():
            # Checkpoints would be made in a new folder of this name, without the run's config and metrics.
            raise SaveFailed(f"{self._folder} was removed or moved while it was trained in: it has no config.json")
        meta = _meta(self._plan, step) | {
            "devices": len(self._parallel.devices),
            "log": partial,
            "evaluation_due": test_due,
            "begun": self._begun,
            "best": self._best.saved(),
        }
        self._checkpoints.save(step, self._state, meta, test_due=test_due)
        self._saved, self._saved_at = step, time.monotonic()


class _Skipped:
    """Names each image that could not be read once, in skipped.jsonl, and says how many they are when there are more.

    Each of several processes names those that it was to read: skipped.jsonl, skipped.1.jsonl, ...
    """

    def __init__(self, plan: Plan, report: Report, folder: Path) -> None:
        self._sources, self._report = {"train": plan.train, "test": plan.test}, report
        process = jax.process_index()
        self._file = folder / (f"skipped.{process}.jsonl" if process else "skipped.jsonl")
        try:
            text = self._file.read_text(errors="replace") if self._file.exists() else ""
            lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
            if "".join(lines) != text:  # a process that was killed has cut off the last one
                replace_file(self._file, "".join(lines))
        except OSError as error:
            raise SaveFailed(f"{self._file} cannot be written: {error.strerror}; move it away") from error
        self._known = {line.removesuffix("\n") for line in lines}
        self.say()

    def say(self) -> None:
        lines, count, last = [], 0, ""
        for split, source in self._sources.items():
            for image, reason in list(source.skipped.items()):
                count, last = count + 1, reason
                line = json.dumps({"split": split, "image": image, "reason": reason})
                if line not in self._known:
                    lines.append(line)
        if not lines:
            return
        try:
            with self._file.open("a") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise SaveFailed(f"{self._file} cannot be written: {error}") from error
        self._known |= set(lines)
        images = "1 image" if count == 1 else f"{count} images"
        self._report.say(f"{images} skipped so far, which cannot be read, see {self._file.name}; the last: {last}")


def _less_memory(config: Config) -> str:
    """Which options make a training step ask for less."""
    data, model, parts = config.data, config.model, config.optim.accumulate
    less = [f"a lower --data.batch-size (now {data.batch_size})", f"--optim.accumulate {2 * parts} (now {parts})"]
    if model.remat == "none":
        less.append("--model.remat block")
    if model.dtype == "float32":
        less.append("--model.dtype bfloat16")
    return f"{', '.join(less)} use less; a run that has a checkpoint takes them with --resume.allow-changes"


def _writers(config: Config, folder: Path, start: int) -> list[Writer]:
    fields = flat(to_dict(config))
    with ExitStack() as opened:  # those before one that fails are closed
        writers: list[Writer] = []
        if config.log.tensorboard:
            writers.append(TensorBoard(folder / "tensorboard", start_step=start, hyperparameters=fields))
            opened.callback(writers[-1].close)
        if config.log.wandb != "off":
            mode, project = config.log.wandb, config.log.wandb_project
            writers.append(WandB(folder, name=folder.name, project=project, mode=mode, hyperparameters=fields))
        opened.pop_all()
        return writers


def _headline(plan: Plan, parallel: Parallel, folder: Path, start: int) -> str:
    count, device = len(parallel.devices), parallel.devices[0]
    where = f"{count} {device.device_kind} device{'s' if count > 1 else ''} ({parallel.mode})"
    going_on = f", going on from step {start}" if start else ""
    images = f"{plan.train.num_examples:,} images to train on, {plan.test.num_examples:,} to test"
    data = f"{plan.data_name}: {images} of {len(plan.train.classes)} classes"
    processes = f" in {parallel.share[1]} processes" if parallel.share[1] > 1 else ""
    return f"{data}\n{plan.config.model.name}, {where}{processes}: {plan.steps} steps in {folder}{going_on}"


def next_commands(workdir: str, step: str) -> str:
    """What to type after a run, on its checkpoint `step`."""
    run, option = shlex.quote(workdir), "" if step == "latest" else f" --step {step}"
    install = "" if is_installed("matplotlib") else f" (after {install_command('matplotlib')})"
    return f"resnet-jax predict {run} IMAGE{option}, resnet-jax eval {run}{option}, resnet-jax plot {run}{install}"


def _shown(means: dict[str, float]) -> str:
    averaged = f" (averaged weights: {means['ema_top1']:.4f}, {means['ema_loss']:.4f})" if "ema_top1" in means else ""
    return f"test top-1 {means['top1']:.4f}, loss {means['loss']:.4f}{averaged}"


def _meta(plan: Plan, step: int) -> dict[str, Any]:
    return {
        "task": plan.task.name,
        "task_record": plan.task.record(),
        "model": {"name": plan.config.model.name, "overrides": plan.overrides},
        "classes": list(plan.train.classes),
        "preprocess": asdict(plan.preprocess),
        "versions": versions(),
        "numerics": NUMERICS,
        "config": to_dict(plan.config),
        "data": {"next_step": step} | data_facts(plan),
    }


def cache_compilations() -> None:
    """Keeps compiled programs in the user's cache directory, unless a place is set already.

    Warns where there is no such directory: a user without a home, or one that cannot be written.
    """
    if jax.config.values["jax_compilation_cache_dir"]:
        return
    root = expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    folder = root / "resnet_jax" / "jax"
    try:
        if not root.is_absolute():  # ~ stays where there is no home
            raise OSError("there is no home directory")
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(f"{folder} cannot be written")
    except OSError as error:
        said = f"compiled programs are not kept for the next start: {error}"
        warnings.warn(f"{said}; JAX_COMPILATION_CACHE_DIR names another place", stacklevel=2)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
