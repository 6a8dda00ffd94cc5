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
from resnet_jax.training.integrity import (
    Damaged,
    SaveFailed,
    array_checksums,
    check_arrays,
    check_files,
    file_checksums,
    named_leaves,
    write_checksums,
)
from resnet_jax.training.state import TrainState
from resnet_jax.types import Preprocess, Pretrained

FORMAT = 2  # 1 had no checksums, and is read without
ITEMS = ("state", "meta")
AT_THE_END = ("_CHECKPOINT_METADATA", "commit_success.txt")  # files that Orbax writes as it names the folder


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
        self._arrays: dict[str, str] = {}  # checksums of what is being saved
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
            # Made in the background, a folder that cannot be would be waited for, for ten minutes.
            async_options=ocp.AsyncOptions(
                post_finalization_callback=self._seal, create_directories_asynchronously=False
            ),
        )
        self._manager = _Manager(self.folder, options=options, item_names=ITEMS)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._stack:
            try:
                self.wait()
                with self._failing():
                    self._manager.close()
            except SaveFailed:
                if error is None:  # else it has been told
                    raise

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
          replace: the checkpoint of this very step is deleted first.

        Raises:
          SaveFailed: this or the save before could not be written.
          RuntimeError: a checkpoint of this or a later step is there already.
        """
        self.wait()
        if replace and step == self.latest_step:
            self._manager.delete(step)
        self._saving, self._arrays = step, array_checksums(state)
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave({"format": FORMAT} | meta))
        with self._failing():
            done = self._manager.save(step, args=args, metrics=None if top1 is None else {"top1": top1})
        if not done:
            raise RuntimeError(f"step {step} was not saved: {self.folder} already has step {self.latest_step}")
        if self._first:
            self._sealing = Thread(target=self._seal_the_rest, name="seal", daemon=True)
            self._sealing.start()

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
        if self._first:
            (unnamed,) = self.folder.glob(f"{self._saving}.orbax-checkpoint-tmp*")
            files = file_checksums(unnamed)
            self._files = {name: checksum for name, checksum in files.items() if name not in AT_THE_END}
            write_checksums(unnamed, self._arrays, self._files)

    def _seal_the_rest(self) -> None:
        """What Orbax writes when it gives the folder its name."""
        folder = self.folder / str(self._saving)
        try:
            self._manager.wait_until_finished()
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


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint, read and verified."""

    folder: Path  # named by its step
    meta: dict[str, Any]  # model, classes, preprocess, versions, config, ...
    arrays: dict[str, Any]  # params, batch_stats, opt_state, ema, step, key

    @property
    def step(self) -> int:
        return int(self.folder.name)

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
        numbers = self.meta["preprocess"]
        preprocess = Preprocess(**numbers | {"mean": tuple(numbers["mean"]), "std": tuple(numbers["std"])})
        name, overrides = self.meta["model"]["name"], self.meta["model"]["overrides"]
        saved = self.arrays["ema"] if ema else self.arrays
        variables = {entry: saved[entry] for entry in ("params", "batch_stats")}
        return Pretrained(create_model(name, **overrides), variables, preprocess, name)


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
    if not isinstance(step, str):
        if step not in steps:
            raise FileNotFoundError(f"no step {step} in {str(folder)!r}; valid: {', '.join(map(str, steps))}")
        return _read(folder / str(step))
    if step not in ("latest", "best"):
        raise ValueError(f"step {step!r}; valid: latest, best or a number")
    if step == "best":
        steps.sort(key=lambda step: _top1_of(folder / str(step)))  # of equal ones the latest
    told: list[str] = []
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


def set_aside_damaged(folder: Path) -> list[str]:
    """Moves checkpoints that are damaged from `folder` to `damaged` beside it, and says which and why.

    Also tells of saves that were interrupted, which Orbax removes.

    Raises:
      ValueError: a format this version does not know.
    """
    told = [
        f"the save of step {path.name.partition('.')[0]} was interrupted"
        for path in folder.glob("*.orbax-checkpoint-tmp*")
    ]
    for step in kept_steps(folder):
        try:
            _read(folder / str(step))
        except Damaged as error:
            place = _free(folder.parent / "damaged" / str(step))
            place.parent.mkdir(exist_ok=True)
            shutil.move(folder / str(step), place)
            told.append(f"{error}; set aside in {place}")
    return told


def _free(path: Path) -> Path:
    """`path`, or the first of path.1, path.2, ... that is not there."""
    numbered = (path.with_name(f"{path.name}.{i}") for i in range(1, 10**6))
    return path if not path.exists() else next(other for other in numbered if not other.exists())


def read_meta(folder: Path) -> dict[str, Any]:
    """What was saved beside the state, unverified.

    Raises:
      Damaged: it is not there, or no JSON.
      ValueError: a format this version does not know.
    """
    try:
        meta = json.loads((folder / "meta" / "metadata").read_text())
        number = meta["format"]
    except FileNotFoundError:
        raise Damaged(f"{folder} is damaged: meta/metadata is missing") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise Damaged(f"{folder} is damaged: meta/metadata is no JSON of ours: {error!r}") from None
    if not isinstance(number, int) or not 1 <= number <= FORMAT:
        raise ValueError(f"{folder} has format {number}, of a newer version; this one reads 1 to {FORMAT}")
    return meta


def _read(folder: Path) -> Checkpoint:
    """Everything in a checkpoint, verified: first its files, then every array."""
    sealed = (folder / "checksums.json").exists()
    wanted = check_files(folder) if sealed else None
    meta = read_meta(folder)
    if wanted is None and meta["format"] > 1:
        check_files(folder)  # says what is wrong
    try:
        arrays = read_arrays(folder / "state")
    except Exception as error:  # of any type, from below Orbax; only where no checksum has told before
        raise Damaged(f"{folder} is damaged: {str(error).partition(chr(10))[0]}") from error
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


def _top1_of(folder: Path) -> tuple[float, int]:
    """For sorting: test top-1, and the step."""
    try:
        top1 = float(json.loads((folder / "metrics" / "metrics").read_text())["top1"])
    except (OSError, ValueError, KeyError, TypeError):
        top1 = -math.inf  # not tested
    return top1, int(folder.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Orbax narrates every save, and warns of its own defaults."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
