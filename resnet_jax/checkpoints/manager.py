"""Checkpoints: Orbax behind one small class. The only file that imports it.

checkpoints/STEP/state/{params,batch_stats,opt_state,ema,step,key}   arrays, readable with Orbax alone
checkpoints/STEP/meta                                                JSON: how to build the net, and the rest
checkpoints/STEP/metrics/metrics                                     JSON: means of the test of this state, once made
checkpoints/STEP/checksums.json                                      of every array and every file
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import FixedIntervalPolicy

from resnet_jax.checkpoints.best import SIGNS, score
from resnet_jax.checkpoints.checksums import (
    FILE,
    array_checksums,
    check_arrays,
    check_files,
    file_checksums,
    named_leaves,
    read_seal,
    write_checksums,
)
from resnet_jax.distributed import processes as distributed
from resnet_jax.errors import (
    CorruptedCheckpoint,
    MissingChecksums,
    NotFinite,
    RemovedCheckpoint,
    SaveFailed,
    described,
    listed,
)
from resnet_jax.files import expanded, replace_file
from resnet_jax.models import create_model
from resnet_jax.training.state import TrainState
from resnet_jax.types import Preprocess, Pretrained, flaws

FORMAT = 2  # 1 had no checksums, and is read without
ITEMS = ("state", "meta")
AT_THE_END = ("_CHECKPOINT_METADATA", "commit_success.txt")  # files that Orbax writes as it names the folder
TESTED = "metrics/metrics"  # the file of the test's result, where there is one
UNFINISHED = ".orbax-checkpoint-tmp"
REPLACED = ".replaced"  # the name's end of a checkpoint that 0.1.0 was about to replace by one of the same step
DELETED = ".deleted"  # where old ones are moved, whole, before their files go
READINGS = 20  # attempts to read a run whose checkpoints are removed meanwhile


class _Manager(ocp.CheckpointManager):
    def reached_preemption(self, step: int) -> bool:
        """The loop asks for itself, with a count of its own: two would confuse JAX's."""
        return False


class Checkpoints:
    """The checkpoints of one run. Saves in the background; keeps the latest few and the best by a test result.

    A state is saved before it is tested: until `tested` or `drop` is called, what was kept before it stays.

    `best`: "top1", "loss", "ema_top1" or "ema_loss". `first`: this process is the first, or only one, of those that
    share the folder.
    """

    def __init__(self, folder: str | Path, *, keep_latest: int = 2, best: str = "top1", first: bool = True) -> None:
        self.folder = Path(folder).resolve()  # Orbax refuses a relative path late, in a thread
        self._first, self._keep_latest, self._best = first, keep_latest, best
        # The first process's, as all must delete the same ones.
        known = [(step, _known_score(self.folder / str(step), best)) for step in kept_steps(self.folder)]
        self._scores: dict[int, float | None] = {step: rank for step, rank in distributed.share(known)}
        self._untested: int | None = None
        self._failed: Exception | None = None  # what the background could not write
        self._saving: int | None = None
        self._state: TrainState | None = None  # what is being saved, in the first process, and its checksums
        self._arrays: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._sealing: Thread | None = None
        self._stack = ExitStack()
        self._stack.enter_context(_quiet())
        options = ocp.CheckpointManagerOptions(
            save_decision_policy=FixedIntervalPolicy(1),
            preservation_policy=_Preserved(self),
            create=True,
            todelete_subdir=DELETED,
            # Made in the background, a folder that cannot be would be waited for, for ten minutes.
            async_options=ocp.AsyncOptions(
                post_finalization_callback=self._seal, create_directories_asynchronously=False
            ),
        )
        self._manager = _Manager(self.folder, options=options, item_names=ITEMS)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.wait()
            if error is None and self._saving is not None:  # else this start has written nothing
                self._trim()
            with self._failing(self._saving):
                self._manager.close()
        except SaveFailed as failed:
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            if error is None:  # else it has been told
                raise
        else:
            self._stack.__exit__(kind, error, at)

    @property
    def steps(self) -> list[int]:
        return list(self._manager.all_steps())

    @property
    def scores(self) -> dict[int, float | None]:
        """Result of each test by `best`, by step, more is better; None: not tested, or not by this measure."""
        return dict(self._scores)

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState, meta: dict[str, Any], *, test_due: bool = False) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        `test_due`: the state is about to be tested; see `tested` and `drop`.

        Raises:
          SaveFailed: this or the save before could not be written.
          RuntimeError: a checkpoint of this or a later step is there already.
        """
        self.wait()
        self._saving, state = step, _host_copy(state)
        if self._first:
            self._state = state
        self._untested = step if test_due else None
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave({"format": FORMAT} | meta))
        with self._failing(step):
            done = self._manager.save(step, args=args)
        if not done:
            raise RuntimeError(f"step {step} was not saved: {self.folder} already has step {self.latest_step}")
        if self._first:
            self._sealing = Thread(target=self._seal_the_rest, name="seal", daemon=True)
            self._sealing.start()

    def tested(self, step: int, means: Mapping[str, float]) -> None:
        """Adds the means of the test to the checkpoint of `step`, in the background; now it may be the best."""
        self._saving, self._untested, self._scores[step] = step, None, score(means, self._best)
        if self._first:
            before = self._sealing
            self._sealing = Thread(target=self._record, args=(step, dict(means), before), name="tested", daemon=True)
            self._sealing.start()

    def drop(self, step: int) -> None:
        """Deletes the checkpoint of a state that is of no use: its test was not finite.

        Every process must call it. Raises SaveFailed if it cannot be deleted.
        """
        self.wait()
        self._untested = None
        with self._failing(step, "deleted"):
            self._manager.delete(step)
            shutil.rmtree(self.folder / DELETED, ignore_errors=True)

    def preserved(self, steps: Sequence[int]) -> set[int]:
        """Those of `steps` to keep: the latest few, the best, and one whose test is under way."""
        done = [step for step in sorted(steps) if step != self._untested]
        ranks = [(rank, step) for step in done if (rank := self._scores.get(step)) is not None]
        best = {max(ranks)[1]} if ranks else set()  # of equal ones the latest
        return best | set(done[-self._keep_latest :]) | (set(steps) - set(done))

    def _trim(self) -> None:
        for step in sorted(set(self.steps) - self.preserved(self.steps)):
            with self._failing(step, "deleted"):
                self._manager.delete(step)
        if self._first:
            shutil.rmtree(self.folder / DELETED, ignore_errors=True)

    def wait(self) -> None:
        """Until every save has ended.

        Raises:
          SaveFailed: one could not be written.
        """
        with self._failing(self._saving):
            self._manager.wait_until_finished()
        if self._sealing is not None:
            self._sealing.join()
        if self._failed is not None:
            with self._failing(self._saving):
                raise self._failed

    def _seal(self) -> None:
        """In the thread of the save: the folder is about to get its name. So one with a name has its checksums."""
        if not self._first:
            return
        try:
            (unnamed,) = self.folder.glob(f"{self._saving}{UNFINISHED}*")
            self._arrays, self._state = array_checksums(self._state), None
            files = file_checksums(unnamed)
            self._files = {name: checksum for name, checksum in files.items() if name not in AT_THE_END}
            write_checksums(unnamed, self._arrays, self._files)
        except Exception as error:
            # Other processes would wait for this one for ever: what is raised in this thread, nobody hears before them.
            said = f"stopped: checkpoint {self._saving} could not be written in {self.folder}: {error}"
            distributed.leave(1, said)
            raise

    def _seal_the_rest(self) -> None:
        """What Orbax writes when it gives the folder its name."""
        folder = self.folder / str(self._saving)
        try:
            self._manager.wait_until_finished()
            for past in [self.folder / DELETED, *self.folder.glob(f"*{REPLACED}")]:
                shutil.rmtree(past, ignore_errors=True)
            write_checksums(folder, self._arrays, file_checksums(folder, self._files))
        except Exception:  # a failed save, which the main thread is told of; without this a sound checkpoint stays one
            return

    def _record(self, step: int, means: dict[str, float], before: Thread | None) -> None:
        """In a thread, once the save has ended: the test's result, and the checksums with it.

        Until the checksums list the result, a reader takes the checkpoint for one whose test is still due.
        """
        if before is not None:
            before.join()
        folder = self.folder / str(step)
        if not folder.is_dir():
            return  # its save has failed, which `wait` raises
        try:
            arrays, files = read_seal(folder)
            files.pop(TESTED, None)
            (folder / TESTED).parent.mkdir(exist_ok=True)
            replace_file(folder / TESTED, json.dumps(means))
            write_checksums(folder, arrays, file_checksums(folder, files))
        except (OSError, ValueError) as error:
            self._failed = error

    @contextmanager
    def _failing(self, step: int | None, action: str = "written") -> Iterator[None]:
        """Whatever ends the saving or deleting of checkpoint `step`, in Orbax or below it, as SaveFailed."""
        try:
            yield
        except Exception as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            steps = [other for other in kept_steps(self.folder) if other != step]
            kept = f"intact: {', '.join(map(str, steps))}" if steps else "there is none before it"
            which = "checkpoints" if step is None else f"checkpoint {step}"
            raise SaveFailed(f"{which} could not be {action} in {self.folder}: {reason}; {kept}") from error


class _Preserved:
    """Orbax's policy of which checkpoints stay when a new one has been saved."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        steps = [info.step for info in checkpoints]
        stays = self._checkpoints.preserved(steps)
        return [step in stays for step in steps]


def _host_copy(state: TrainState) -> TrainState:
    """Replicated arrays as numpy arrays of their own, which Orbax saves in half the time of devices' (on a CPU).

    It makes a second copy. Of one device's copy: an array itself would keep its host copy, and could not be donated.
    """
    here = jax.tree.map(lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x, state)
    return jax.tree.map(np.array, jax.device_get(here))


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint, read and verified."""

    folder: Path  # named by its step
    meta: dict[str, Any]  # model, classes, preprocess, versions, config, ...
    arrays: dict[str, Any]  # params, batch_stats, opt_state, ema, step, key
    tested: dict[str, float] | None = None  # means of its test; None: not tested

    @property
    def step(self) -> int:
        return int(self.folder.name)

    @property
    def preprocess(self) -> Preprocess:
        numbers = self.meta["preprocess"]
        source = numbers.get("source") or "the run that wrote the checkpoint"
        return Preprocess(**numbers | {"mean": tuple(numbers["mean"]), "std": tuple(numbers["std"]), "source": source})

    def state(self, like: TrainState) -> TrainState:
        """The state, with the structure of `like`, as numpy arrays.

        Raises:
          ValueError: the saved arrays are others than those of `like`.
        """
        saved, wanted = dict(named_leaves(self.arrays)), dict(named_leaves(like))
        had, want = ({name: _shape(x) for name, x in tree.items()} for tree in (saved, wanted))
        if differ := sorted(name for name in had.keys() | want.keys() if had.get(name) != want.get(name)):
            shown = [f"{name} is {had.get(name, 'not there')}, wanted {want.get(name, 'none')}" for name in differ[:3]]
            more = f"; and {len(differ) - 3} more" if len(differ) > 3 else ""
            raise ValueError(f"{self.folder} has other arrays than this config: {'; '.join(shown)}{more}")
        return jax.tree.unflatten(jax.tree.structure(like), [saved[name] for name in wanted])

    def pretrained(self, *, ema: bool = False, allow_nonfinite: bool = False) -> Pretrained:
        """The net, with its weights and statistics, or (`ema`) the averaged ones.

        Raises:
          NotFinite: some are not finite, and that is not allowed.
          ValueError: there are no averaged ones.
        """
        if ema and not self.arrays["ema"]:
            raise ValueError(f"{self.folder} has no averaged weights; optim.ema_decay keeps some")
        name, overrides = self.meta["model"]["name"], self.meta["model"]["overrides"]
        saved = self.arrays["ema"] if ema else self.arrays
        variables = {entry: saved[entry] for entry in ("params", "batch_stats")}
        if not allow_nonfinite and (broken := flaws(variables)):
            raise NotFinite(f"{self.folder}: expected finite weights, got {listed(broken, 3)}")
        classes = self.meta.get("classes")
        return Pretrained(create_model(name, **overrides), variables, self.preprocess, name, classes)


def load_checkpoint(
    path: str | Path, step: str | int = "latest", *, ema: bool = False, allow_nonfinite: bool = False
) -> Pretrained:
    """A trained net from a run's folder, its `checkpoints` folder, or one step in that.

    Every array of the step is verified. If "latest" or "best" is damaged, a warning says so, and the newest or best of
    the sound ones is taken. The run may be training meanwhile.

    Args:
      step: "latest", "best" (by the run's checkpoint.best) or a number; ignored when `path` is one step already.
      ema: the averaged weights and statistics instead.
      allow_nonfinite: load weights with NaN or infinite values and negative variances, too.

    Raises:
      FileNotFoundError: there are no checkpoints, or not this one.
      ValueError: a format this version does not know, a damaged checkpoint, no averaged weights, weights that are
        not finite, or a `step` that is neither.
      TypeError: a path or a step of another type.
    """
    return open_checkpoint(path, step).pretrained(ema=ema, allow_nonfinite=allow_nonfinite)


def open_checkpoint(path: str | Path, step: str | int = "latest") -> Checkpoint:
    """Takes and raises what `load_checkpoint` does."""
    if isinstance(step, bool) or not isinstance(step, str | int | np.integer):
        raise TypeError(f'expected step "latest", "best" or a number (int), got {described(step)}')
    path = expanded(path).resolve()
    if path.name.isdigit() and ((path / "state").is_dir() or (path / "meta").is_dir()):
        path, step = path.parent, int(path.name)
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    for _ in range(READINGS):
        try:
            return _open(folder, step, str(path))
        except RemovedCheckpoint:  # by the run, which saves meanwhile: it has a newer one
            if step not in ("latest", "best"):
                raise
    return _open(folder, step, str(path))


def _open(folder: Path, step: str | int, asked: str) -> Checkpoint:
    if not folder.is_dir():
        raise FileNotFoundError(f"no run or checkpoint folder {asked!r}")
    steps = kept_steps(folder)
    if not steps:
        raise FileNotFoundError(f"no checkpoints in {str(folder)!r}")
    step = int(step) if isinstance(step, str) and step.isdecimal() else step
    if not isinstance(step, str):
        if step not in steps:
            raise FileNotFoundError(f"no step {step} in {str(folder)!r}; valid: {', '.join(map(str, steps))}")
        return _read(folder / str(step))
    if step not in ("latest", "best"):
        raise ValueError(f"step {step!r}; valid: latest, best or a number")
    told: list[str] = []
    if step == "best":
        ranks: dict[int, tuple[float, int]] = {}
        measure = _measure(folder, steps)
        for candidate in steps:
            try:
                with _may_be_removed(folder / str(candidate)):
                    rank = _score_of(folder / str(candidate), measure)
                ranks[candidate] = (-math.inf if rank is None else rank, candidate)  # of equal ones the latest
            except CorruptedCheckpoint as error:
                told.append(str(error))
        steps = sorted(ranks, key=lambda step: ranks[step])
    for candidate in reversed(steps):
        try:
            found = _read(folder / str(candidate))
        except CorruptedCheckpoint as error:
            told.append(str(error))
            continue
        for reason in told:
            warnings.warn(f"{reason}; taking step {candidate}", stacklevel=4)
        return found
    raise CorruptedCheckpoint("; ".join(told))


def newest_sound(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """For who goes on with a run: its newest sound checkpoint, None if there are none; and what there is to tell.

    Newer ones, which are damaged, are moved to `damaged` beside `folder`; what a dead process has left half done goes.

    Raises:
      CorruptedCheckpoint: there are checkpoints, and none is sound; they stay where they are.
      ValueError: a format this version does not know.
      OSError: one cannot be read; that is no damage.
    """
    told, damaged, found = _clear_up(folder), [], None
    for step in reversed(kept_steps(folder)):
        try:
            found = _read(folder / str(step))
            break
        except CorruptedCheckpoint as error:
            damaged.append((step, str(error)))
    if damaged and found is None:
        hint = f"choose another --workdir, or move {folder} away to begin again"
        raise CorruptedCheckpoint(f"no checkpoint is sound: {'; '.join(reason for _, reason in damaged)}; {hint}")
    for step, reason in damaged:
        place = _free(folder.parent / "damaged" / str(step))
        if place.parent.exists() and not place.parent.is_dir():
            raise ValueError(
                f"{reason}; {place.parent} is a file: move it away, so that the checkpoint can be set aside"
            )
        place.parent.mkdir(exist_ok=True)
        shutil.move(folder / str(step), place)
        told.append(f"{reason}; set aside in {place}")
    return found, told


def _clear_up(folder: Path) -> list[str]:
    told = []
    for path in folder.glob(f"*{UNFINISHED}*"):
        told.append(f"the save of step {path.name.partition('.')[0]} was interrupted")
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"*{REPLACED}"):
        name = path.with_name(path.name.removesuffix(REPLACED))
        if name.exists():
            shutil.rmtree(path, ignore_errors=True)
        else:  # the new one has not come to be
            path.rename(name)
    shutil.rmtree(folder / DELETED, ignore_errors=True)
    return told


def _free(path: Path) -> Path:
    """`path`, or the first of path.1, path.2, ... that is not there."""
    numbered = (path.with_name(f"{path.name}.{i}") for i in range(1, 10**6))
    return path if not path.exists() else next(other for other in numbered if not other.exists())


def read_meta(folder: Path) -> dict[str, Any]:
    """What was saved beside the state, unverified.

    Raises:
      CorruptedCheckpoint: it is not there, or nothing of ours.
      ValueError: a format this version does not know.
      OSError: it cannot be read.
    """
    file = folder / "meta" / "metadata"
    if not file.is_file():
        raise CorruptedCheckpoint(f"{folder} is damaged: meta/metadata is missing")
    try:
        meta = json.loads(file.read_text())
        number = meta["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptedCheckpoint(f"{folder} is damaged: meta/metadata is no JSON of ours: {error!r}") from None
    if not isinstance(number, int) or not 1 <= number <= FORMAT:
        raise ValueError(f"{folder} has format {number}, of a newer version; this one reads 1 to {FORMAT}")
    if missing := [name for name in ("model", "classes", "preprocess") if name not in meta]:
        raise CorruptedCheckpoint(f"{folder} is damaged: meta/metadata has no {', '.join(missing)}")
    return meta


def _read(folder: Path) -> Checkpoint:
    """Everything in a checkpoint, verified: first its files, then every array.

    Raises:
      CorruptedCheckpoint: it is not what was saved.
      ValueError: a format this version does not know; files that are as written, and cannot be read.
      OSError: one cannot be read; `RemovedCheckpoint` where the whole checkpoint is there no more.
    """
    with _may_be_removed(folder):
        return _verified(folder)


@contextmanager
def _may_be_removed(folder: Path) -> Iterator[None]:
    """Raises `RemovedCheckpoint` for an error in a checkpoint that is there no more."""
    try:
        yield
    except (ValueError, OSError) as error:
        if not folder.is_dir():
            raise RemovedCheckpoint(f"{folder} was removed while it was read: its run has saved newer ones") from error
        raise


def _verified(folder: Path) -> Checkpoint:
    wanted, files = None, None
    try:
        wanted, files = read_seal(folder)
        check_files(folder, files)
        meta = read_meta(folder)
    except MissingChecksums:
        meta = read_meta(folder)  # it may be of a newer version, which seals otherwise
        if meta["format"] > 1 or (folder / FILE).exists():
            raise
    try:
        arrays = read_arrays(folder / "state")
    except MemoryError:
        raise
    except Exception as error:  # of any type, from below Orbax
        reason = str(error).partition("\n")[0]
        if wanted is None:
            raise CorruptedCheckpoint(f"{folder} is damaged: {reason}") from error
        raise ValueError(f"{folder} cannot be read, though its files are what was written: {reason}") from error
    if wanted is not None:
        check_arrays(folder, arrays, wanted)
    saved_at = meta.get("data", {}).get("next_step")
    if isinstance(saved_at, int) and folder.name.isdigit() and saved_at != int(folder.name):  # a renamed copy
        raise CorruptedCheckpoint(f"{folder} is damaged: it was saved as step {saved_at}")
    tested = _test_of(folder, files)
    return Checkpoint(folder, meta | ({"evaluation_due": False} if tested else {}), arrays, tested)


def read_arrays(folder: Path) -> dict[str, Any]:
    """All that is saved in a `state` folder, as numpy arrays: what another device layout can read too."""
    alone = ocp.options.MultiprocessingOptions(active_processes={jax.process_index()}, primary_host=None)
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    with _quiet(), ocp.Checkpointer(handler, multiprocessing_options=alone) as reader:
        metadata = reader.metadata(folder).item_metadata
        if metadata is None:
            raise ValueError("its state is not there, or no checkpoint")
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), metadata.tree)
        return reader.restore(folder, args=ocp.args.PyTreeRestore(restore_args=as_numpy))


def _shape(x: Any) -> str:
    return f"{np.dtype(x.dtype)}{list(x.shape)}"


def kept_steps(folder: Path) -> list[int]:
    """Of what checkpoints there are in `folder`, sound or not, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit() and path.is_dir())


def _score_of(folder: Path, measure: str) -> float | None:
    """The test's result by `measure`, more is better; None: it was not tested, or measured nothing of the kind.

    Raises:
      CorruptedCheckpoint: the record of it.
    """
    try:
        files = read_seal(folder)[1]
    except MissingChecksums:  # which is told if it comes to that
        files = None
    means = _test_of(folder, files)
    return None if means is None else score(means, measure)


def _known_score(folder: Path, measure: str) -> float | None:
    try:
        return _score_of(folder, measure)
    except (CorruptedCheckpoint, OSError):  # which is told to who reads it
        return None


def _test_of(folder: Path, files: Mapping[str, str] | None) -> dict[str, float] | None:
    """Means of the test of a checkpoint with the checksums `files` (None: without any); None: it was not tested."""
    if files is None and not (folder / TESTED).is_file():
        return None
    if files is not None:
        if TESTED not in files:
            return None
        check_files(folder, {TESTED: files[TESTED]})
    try:
        means = {name: float(value) for name, value in json.loads((folder / TESTED).read_text()).items()}
    except (ValueError, TypeError, AttributeError):
        means = {}
    if not means.keys() & SIGNS.keys():
        raise CorruptedCheckpoint(f"{folder} is damaged: {TESTED} is no record of a test")
    return means


def _measure(folder: Path, steps: Sequence[int]) -> str:
    """What the run chooses its best by, as its newest checkpoint says."""
    for step in reversed(steps):
        with suppress(ValueError, OSError):
            return read_meta(folder / str(step)).get("config", {}).get("checkpoint", {}).get("best", "top1")
    return "top1"


@dataclass(frozen=True)
class _Unraisable:
    """A hook for what Python cannot raise, without what comes of a closed event loop."""

    hook: Callable[[Any], Any]

    def __call__(self, what: Any) -> None:
        if str(what.exc_value) != "Event loop is closed":
            self.hook(what)


@contextmanager
def _quiet() -> Iterator[None]:
    """Orbax narrates every save and warns of its own defaults; what fails, it raises and prints with stack traces.

    Of a save or a reading that has failed, the parts still under way find its event loop closed, and each says so:
    then, and for as long as the process lasts, as they may come late, this is not passed on.
    """
    before, done = sys.unraisablehook, False
    if not isinstance(before, _Unraisable):
        sys.unraisablehook = _Unraisable(before)
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
        done = True
    finally:
        if done:
            sys.unraisablehook = before
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
