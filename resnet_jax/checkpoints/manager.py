"""Saves the checkpoints of a run in the background, and keeps the latest few and the best."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import FixedIntervalPolicy

from resnet_jax.checkpoints.best import Measure, best_step
from resnet_jax.checkpoints.checksums import array_checksums, file_checksums, read_checksums, write_checksums
from resnet_jax.checkpoints.reader import FORMAT, RESULTS, read_score, saved_steps
from resnet_jax.checkpoints.recovery import DELETED, REPLACED, UNFINISHED
from resnet_jax.checkpoints.silence import quiet_orbax
from resnet_jax.distributed import processes
from resnet_jax.errors import CorruptedCheckpoint, SaveFailed
from resnet_jax.files import replace_file

ITEMS = ("state", "meta")
AFTER_COMMIT = ("_CHECKPOINT_METADATA", "commit_success.txt")  # files that Orbax writes while it renames the directory

State = TypeVar("State")


class _Manager(ocp.CheckpointManager):
    def reached_preemption(self, step: int) -> bool:
        """False: the training loop asks JAX itself, and two counters of the same question would confuse JAX."""
        return False


class Checkpoints:
    """Checkpoints of one run, saved in the background.

    A state is saved before it is tested: until `record_test` or `discard` is called, all earlier kept ones stay.

    Args:
      best: the test result by which the best checkpoint is chosen, or the name of one of classification.
      first: whether this process writes the shared files (the first or only process).
    """

    def __init__(
        self, directory: str | Path, *, keep_latest: int = 2, best: Measure | str = "top1", first: bool = True
    ) -> None:
        self.directory = Path(directory).resolve()  # Orbax rejects a relative path late, in a thread
        self._first, self._keep_latest = first, keep_latest
        self._measure = Measure.of(best) if isinstance(best, str) else best
        # Those of the first process, because all processes must delete the same checkpoints.
        scores = [(step, self._known_score(step)) for step in saved_steps(self.directory)]
        self._scores: dict[int, float | None] = {step: score for step, score in processes.broadcast(scores)}
        self._untested: int | None = None
        self._failure: Exception | None = None  # of a background thread
        self._saving: int | None = None
        self._state: Any = None  # the state being saved, in the first process, and its checksums
        self._arrays: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._thread: Thread | None = None
        self._stack = ExitStack()
        self._stack.enter_context(quiet_orbax())
        options = ocp.CheckpointManagerOptions(
            save_decision_policy=FixedIntervalPolicy(1),
            preservation_policy=_Preserved(self),
            create=True,
            todelete_subdir=DELETED,
            # Created in the background, a directory that cannot be created would be awaited for ten minutes.
            async_options=ocp.AsyncOptions(
                post_finalization_callback=self._write_checksums_before_commit,
                create_directories_asynchronously=False,
            ),
        )
        self._manager = _Manager(self.directory, options=options, item_names=ITEMS)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.wait()
            if error is None and self._saving is not None:  # a start that wrote nothing removes nothing
                self._delete_old()
            with self._as_save_failed(self._saving):
                self._manager.close()
        except SaveFailed as failed:
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            if error is None:  # an earlier error is the one to report
                raise
        else:
            self._stack.__exit__(kind, error, at)

    @property
    def steps(self) -> list[int]:
        return list(self._manager.all_steps())

    @property
    def scores(self) -> dict[int, float | None]:
        """Test result of each checkpoint, higher is better; None: it was not tested or has no such result."""
        return dict(self._scores)

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, step: int, state: Any, metadata: dict[str, Any], *, test_due: bool = False) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        Args:
          test_due: the state is about to be tested; see `record_test` and `discard`.

        Raises:
          SaveFailed: this save or the one before failed.
          RuntimeError: there already is a checkpoint of this or a later step.
        """
        self.wait()
        self._saving, state = step, _host_copy(state)
        if self._first:
            self._state = state
        self._untested = step if test_due else None
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave({"format": FORMAT} | metadata)
        )
        with self._as_save_failed(step):
            is_saved = self._manager.save(step, args=args)
        if not is_saved:
            raise RuntimeError(f"step {step} was not saved: {self.directory} already has step {self.latest_step}")
        if self._first:
            self._thread = Thread(target=self._write_checksums_after_commit, name="checksums", daemon=True)
            self._thread.start()

    def record_test(self, step: int, results: Mapping[str, float]) -> None:
        """Adds test results to the checkpoint of `step`, in the background. From then on it may be the best."""
        self._saving, self._untested, self._scores[step] = step, None, self._measure.score(results)
        if self._first:
            arguments = (step, dict(results), self._thread)
            self._thread = Thread(target=self._write_results, args=arguments, name="test results", daemon=True)
            self._thread.start()

    def discard(self, step: int) -> None:
        """Deletes the checkpoint of a state whose test was not finite. Collective: every process must call it.

        Raises:
          SaveFailed: it cannot be deleted.
        """
        self.wait()
        self._untested = None
        with self._as_save_failed(step, "deleted"):
            self._manager.delete(step)
            shutil.rmtree(self.directory / DELETED, ignore_errors=True)

    def preserved(self, steps: Sequence[int]) -> set[int]:
        """The `steps` to keep: the latest few, the best, and one whose test has not ended."""
        finished = [step for step in sorted(steps) if step != self._untested]
        best = best_step({step: self._scores.get(step) for step in finished})
        latest = finished[-self._keep_latest :]
        return {*latest, *(() if best is None else (best,)), *(set(steps) - set(finished))}

    def wait(self) -> None:
        """Waits until all saves have ended.

        Raises:
          SaveFailed: one of them failed.
        """
        with self._as_save_failed(self._saving):
            self._manager.wait_until_finished()
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            with self._as_save_failed(self._saving):
                raise self._failure

    def _known_score(self, step: int) -> float | None:
        try:
            return read_score(self.directory / str(step), self._measure)
        except (CorruptedCheckpoint, OSError):  # reported when the checkpoint is read
            return None

    def _delete_old(self) -> None:
        for step in sorted(set(self.steps) - self.preserved(self.steps)):
            with self._as_save_failed(step, "deleted"):
                self._manager.delete(step)
        if self._first:
            shutil.rmtree(self.directory / DELETED, ignore_errors=True)

    def _write_checksums_before_commit(self) -> None:
        """In Orbax's thread, before it renames the directory: every directory with a step's name has checksums."""
        if not self._first:
            return
        try:
            (unnamed,) = self.directory.glob(f"{self._saving}{UNFINISHED}*")
            self._arrays, self._state = array_checksums(self._state), None
            files = file_checksums(unnamed)
            self._files = {name: checksum for name, checksum in files.items() if name not in AFTER_COMMIT}
            write_checksums(unnamed, self._arrays, self._files)
        except Exception as error:
            # Other processes would wait for this one forever, before any of them sees an error of this thread.
            message = f"stopped: checkpoint {self._saving} could not be written in {self.directory}: {error}"
            processes.leave(1, message)
            raise

    def _write_checksums_after_commit(self) -> None:
        """In a thread: adds the files that Orbax writes while it renames the directory."""
        path = self.directory / str(self._saving)
        try:
            self._manager.wait_until_finished()
            for leftover in [self.directory / DELETED, *self.directory.glob(f"*{REPLACED}")]:
                shutil.rmtree(leftover, ignore_errors=True)
            write_checksums(path, self._arrays, file_checksums(path, self._files))
        except Exception:  # the main thread reports a failed save; without this update the checkpoint stays valid
            return

    def _write_results(self, step: int, results: dict[str, float], before: Thread | None) -> None:
        """In a thread, after the save: writes the test results, then their checksum.

        Until the checksums list the results, readers treat the checkpoint as one whose test is due.
        """
        if before is not None:
            before.join()
        path = self.directory / str(step)
        if not path.is_dir():
            return  # the save failed, which `wait` raises
        try:
            arrays, files = read_checksums(path)
            files.pop(RESULTS, None)
            (path / RESULTS).parent.mkdir(exist_ok=True)
            replace_file(path / RESULTS, json.dumps(results))
            write_checksums(path, arrays, file_checksums(path, files))
        except (OSError, ValueError) as error:
            self._failure = error

    @contextmanager
    def _as_save_failed(self, step: int | None, action: str = "written") -> Iterator[None]:
        """Raises any error of saving or deleting checkpoint `step` as SaveFailed."""
        try:
            yield
        except Exception as error:  # Orbax and the libraries below it raise many types
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            others = [other for other in saved_steps(self.directory) if other != step]
            remaining = f"intact: {', '.join(map(str, others))}" if others else "there is no earlier checkpoint"
            which = "checkpoints" if step is None else f"checkpoint {step}"
            raise SaveFailed(f"{which} could not be {action} in {self.directory}: {reason}; {remaining}") from error


class _Preserved:
    """Orbax's policy of which checkpoints stay after a save."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        steps = [info.step for info in checkpoints]
        preserved = self._checkpoints.preserved(steps)
        return [step in preserved for step in steps]


def _host_copy(state: State) -> State:
    """Copies replicated arrays to NumPy arrays, which Orbax saves in half the time of device arrays (on a CPU).

    It copies one device's shard: a whole `jax.Array` would cache its host copy, and could not be donated.
    """
    shards = jax.tree.map(lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x, state)
    return jax.tree.map(np.array, jax.device_get(shards))
