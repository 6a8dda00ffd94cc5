"""Checkpoints: Orbax behind one small class. The only file that imports it.

checkpoints/STEP/state/{params,batch_stats,opt_state,ema,step,key}   arrays, readable with Orbax alone
checkpoints/STEP/meta                                                JSON: how to build the net, and the rest
checkpoints/STEP/checksums.json                                      of every array and every file
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, FixedIntervalPolicy, LatestN

from resnet_jax.models import create_model
from resnet_jax.training import distributed
from resnet_jax.training.integrity import (
    FILE,
    Damaged,
    SaveFailed,
    SealBroken,
    array_checksums,
    check_arrays,
    check_files,
    file_checksums,
    named_leaves,
    read_seal,
    write_checksums,
)
from resnet_jax.training.state import TrainState
from resnet_jax.types import Preprocess, Pretrained

FORMAT = 2  # 1 had no checksums, and is read without
ITEMS = ("state", "meta")
AT_THE_END = ("_CHECKPOINT_METADATA", "commit_success.txt")  # files that Orbax writes as it names the folder
TOP1 = "metrics/metrics"  # the file of the test's result, where there is one
UNFINISHED = ".orbax-checkpoint-tmp"
REPLACED = ".replaced"  # the name's end of a checkpoint that one of the same step is about to replace
DELETED = ".deleted"  # where old ones are moved, whole, before their files go


class _Manager(ocp.CheckpointManager):
    def reached_preemption(self, step: int) -> bool:
        """The loop asks for itself, with a count of its own: two would confuse JAX's."""
        return False


def _top1(metrics: dict[str, float]) -> float:
    return metrics["top1"]


class Checkpoints:
    """The checkpoints of one run. Saves in the background; keeps the latest few and the best by test top-1.

    `first`: this process is the first, or only one, of those that share the folder.
    """

    def __init__(self, folder: str | Path, *, keep_latest: int = 2, first: bool = True) -> None:
        self.folder = Path(folder).resolve()  # Orbax refuses a relative path late, in a thread
        self._first = first
        self._saving: int | None = None
        self._state: TrainState | None = None  # what is being saved, in the first process, and its checksums
        self._arrays: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._sealing: Thread | None = None
        self._stack = ExitStack()
        self._stack.enter_context(_quiet())
        best = BestN(get_metric_fn=_top1, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            save_decision_policy=FixedIntervalPolicy(1),
            preservation_policy=AnyPreservationPolicy([LatestN(keep_latest), best]),
            best_fn=_top1,
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
            with self._failing():
                self._manager.close()
        except SaveFailed as failed:
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            if error is None:  # else it has been told
                raise
        else:
            self._stack.__exit__(kind, error, at)

    @property
    def steps(self) -> list[int]:
        return list(self._manager.allkept_steps())

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(
        self, step: int, state: TrainState, meta: dict[str, Any], *, top1: float | None, replace: bool = False
    ) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        Args:
          top1: of the test, by which the best is kept; None: it was not tested.
          replace: there may be a checkpoint of this very step; it goes when this one is there.

        Raises:
          SaveFailed: this or the save before could not be written.
          RuntimeError: a checkpoint of this or a later step is there already.
        """
        self.wait()
        self._saving, state = step, _host_copy(state)
        if self._first:
            self._state = state
        if replace and step == self.latest_step:
            self._put_aside(step)
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave({"format": FORMAT} | meta))
        with self._failing():
            done = self._manager.save(step, args=args, metrics=None if top1 is None else {"top1": top1})
        if not done:
            raise RuntimeError(f"step {step} was not saved: {self.folder} already has step {self.latest_step}")
        if self._first:
            self._sealing = Thread(target=self._seal_the_rest, name="seal", daemon=True)
            self._sealing.start()

    def _put_aside(self, step: int) -> None:
        with self._failing():
            if self._first:
                (self.folder / str(step)).rename(self.folder / f"{step}{REPLACED}")
            distributed.first_says(0)  # the others look when it is done
            self._manager.reload()

    def wait(self) -> None:
        """Until every save has ended.

        Raises:
          SaveFailed: one could not be written.
        """
        with self._failing():
            self._manager.wait_until_finished()
        if self._sealing is not None:
            self._sealing.join()

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

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Whatever ends a save, in Orbax or below it, as SaveFailed."""
        try:
            yield
        except Exception as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            steps = [step for step in kept_steps(self.folder) if step != self._saving]
            kept = f"intact: {', '.join(map(str, steps))}" if steps else "there is none before it"
            raise SaveFailed(
                f"checkpoint {self._saving} could not be written in {self.folder}: {reason}; {kept}"
            ) from (error)


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

    @property
    def step(self) -> int:
        return int(self.folder.name)

    @property
    def preprocess(self) -> Preprocess:
        numbers = self.meta["preprocess"]
        return Preprocess(**numbers | {"mean": tuple(numbers["mean"]), "std": tuple(numbers["std"])})

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

    def pretrained(self, *, ema: bool = False) -> Pretrained:
        """The net, with its weights and statistics, or (`ema`) the averaged ones.

        Raises:
          ValueError: there are no averaged ones.
        """
        if ema and not self.arrays["ema"]:
            raise ValueError(f"{self.folder} has no averaged weights; optim.ema_decay keeps some")
        name, overrides = self.meta["model"]["name"], self.meta["model"]["overrides"]
        saved = self.arrays["ema"] if ema else self.arrays
        variables = {entry: saved[entry] for entry in ("params", "batch_stats")}
        return Pretrained(create_model(name, **overrides), variables, self.preprocess, name)


def load_checkpoint(path: str | Path, step: str | int = "latest", *, ema: bool = False) -> Pretrained:
    """A trained net from a run's folder, its `checkpoints` folder, or one step in that.

    Every array of the step is verified. If "latest" or "best" is damaged, a warning says so, and the newest or best of
    the sound ones is taken.

    Args:
      step: "latest", "best" (by test top-1) or a number; ignored when `path` is one step already.
      ema: the averaged weights and statistics instead.

    Raises:
      FileNotFoundError: there are no checkpoints, or not this one.
      ValueError: a format this version does not know, a damaged checkpoint, no averaged weights, or a `step` that is
        neither.
    """
    return open_checkpoint(path, step).pretrained(ema=ema)


def open_checkpoint(path: str | Path, step: str | int = "latest") -> Checkpoint:
    """Takes and raises what `load_checkpoint` does."""
    path = Path(path).resolve()
    if path.name.isdigit() and ((path / "state").is_dir() or (path / "meta").is_dir()):
        path, step = path.parent, int(path.name)
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    if not folder.is_dir():
        raise FileNotFoundError(f"no run or checkpoint folder {str(path)!r}")
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
        for candidate in steps:
            try:
                ranks[candidate] = (_top1_of(folder / str(candidate)), candidate)  # of equal ones the latest
            except Damaged as error:
                told.append(str(error))
        steps = sorted(ranks, key=lambda step: ranks[step])
    for candidate in reversed(steps):
        try:
            found = _read(folder / str(candidate))
        except Damaged as error:
            told.append(str(error))
            continue
        for reason in told:
            warnings.warn(f"{reason}; taking step {candidate}", stacklevel=3)
        return found
    raise Damaged("; ".join(told))


def newest_sound(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """For who goes on with a run: its newest sound checkpoint, None if there are none; and what there is to tell.

    Newer ones, which are damaged, are moved to `damaged` beside `folder`; what a dead process has left half done goes.

    Raises:
      Damaged: there are checkpoints, and none is sound; they stay where they are.
      ValueError: a format this version does not know.
      OSError: one cannot be read; that is no damage.
    """
    told, damaged, found = _clear_up(folder), [], None
    for step in reversed(kept_steps(folder)):
        try:
            found = _read(folder / str(step))
            break
        except Damaged as error:
            damaged.append((step, str(error)))
    if damaged and found is None:
        hint = f"choose another --workdir, or move {folder} away to begin again"
        raise Damaged(f"no checkpoint is sound: {'; '.join(reason for _, reason in damaged)}; {hint}")
    for step, reason in damaged:
        place = _free(folder.parent / "damaged" / str(step))
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
      Damaged: it is not there, or nothing of ours.
      ValueError: a format this version does not know.
      OSError: it cannot be read.
    """
    file = folder / "meta" / "metadata"
    if not file.is_file():
        raise Damaged(f"{folder} is damaged: meta/metadata is missing")
    try:
        meta = json.loads(file.read_text())
        number = meta["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{folder} is damaged: meta/metadata is no JSON of ours: {error!r}") from None
    if not isinstance(number, int) or not 1 <= number <= FORMAT:
        raise ValueError(f"{folder} has format {number}, of a newer version; this one reads 1 to {FORMAT}")
    if missing := [name for name in ("model", "classes", "preprocess") if name not in meta]:
        raise Damaged(f"{folder} is damaged: meta/metadata has no {', '.join(missing)}")
    return meta


def _read(folder: Path) -> Checkpoint:
    """Everything in a checkpoint, verified: first its files, then every array."""
    wanted = None
    try:
        wanted, files = read_seal(folder)
        check_files(folder, files)
        meta = read_meta(folder)
    except SealBroken:
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
            raise Damaged(f"{folder} is damaged: {reason}") from error
        raise ValueError(f"{folder} cannot be read, though its files are what was written: {reason}") from error
    if wanted is not None:
        check_arrays(folder, arrays, wanted)
    return Checkpoint(folder, meta, arrays)


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


def _top1_of(folder: Path) -> float:
    """Test top-1; less than any where it was not tested.

    Raises:
      Damaged: the record of it.
    """
    try:
        files = read_seal(folder)[1]
    except SealBroken:  # which is told if it comes to that
        files = {}
    check_files(folder, {name: checksum for name, checksum in files.items() if name == TOP1})
    if not (folder / TOP1).is_file():
        return -math.inf
    try:
        return float(json.loads((folder / TOP1).read_text())["top1"])
    except (ValueError, KeyError, TypeError):
        raise Damaged(f"{folder} is damaged: {TOP1} is no record of a test") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Orbax narrates every save and warns of its own defaults; what fails, it raises and prints with stack traces.

    Of a save that has failed, the writes still under way find its event loop closed, and each says so: then, and for
    as long as the process lasts, as they may come late, this is not passed on.
    """
    hook, failed = sys.unraisablehook, False

    def unraisable(what: sys.UnraisableHookArgs) -> None:
        if str(what.exc_value) != "Event loop is closed":
            hook(what)

    sys.unraisablehook = unraisable
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    except SaveFailed:
        failed = True
        raise
    finally:
        if not failed:
            sys.unraisablehook = hook
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
