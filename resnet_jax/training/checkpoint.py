"""Checkpoints: Orbax behind one small class. The only file that imports it.

checkpoints/STEP/state/{params,batch_stats,opt_state,ema,step,key}   arrays, readable with Orbax alone
checkpoints/STEP/meta                                                JSON: how to build the net, and the rest
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from resnet_jax.models import create_model
from resnet_jax.training.state import TrainState
from resnet_jax.types import Preprocess, Pretrained

FORMAT = 1
ITEMS = ("state", "meta")


def _top1(metrics: dict[str, float]) -> float:
    return metrics["top1"]


class Checkpoints:
    """The checkpoints of one run. Saves in the background; keeps the latest few and the best by test top-1."""

    def __init__(self, folder: str | Path, *, keep_latest: int = 2) -> None:
        self.folder = Path(folder).resolve()  # Orbax refuses a relative path late, in a thread
        self._stack = ExitStack()
        self._stack.enter_context(_quiet())
        best = BestN(get_metric_fn=_top1, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=AnyPreservationPolicy([LatestN(keep_latest), best]), best_fn=_top1, create=True
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options, item_names=ITEMS)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._stack:
            self._manager.close()

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState, meta: dict[str, Any], *, top1: float) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        Raises:
          RuntimeError: a checkpoint of this or a later step is there already.
        """
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave({"format": FORMAT} | meta))
        if not self._manager.save(step, args=args, metrics={"top1": top1}):
            raise RuntimeError(f"step {step} was not saved: {self.folder} already has step {self.latest_step}")

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state of a step, with the structure, types and placement of `like`."""
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        return self._manager.restore(step, args=args)["state"]

    def meta(self, step: int) -> dict[str, Any]:
        """What was saved beside the state of a step."""
        return self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]

    def wait(self) -> None:
        """Until every save has ended; raises what went wrong in one."""
        self._manager.wait_until_finished()


def load_checkpoint(path: str | Path, step: str | int = "latest") -> Pretrained:
    """A trained net from a run's folder, its `checkpoints` folder, or one step in that.

    Args:
      step: "latest", "best" (by test top-1) or a number; ignored when `path` is one step already.

    Raises:
      FileNotFoundError: there are no checkpoints, or not this one.
      ValueError: a format this version does not know, a damaged checkpoint, or a `step` that is neither.
    """
    folder, meta = find_checkpoint(path, step)
    name, overrides = meta["model"]["name"], meta["model"]["overrides"]
    numbers = meta["preprocess"]
    preprocess = Preprocess(**numbers | {"mean": tuple(numbers["mean"]), "std": tuple(numbers["std"])})
    with _quiet():
        variables = read_arrays(folder / "state", ("params", "batch_stats"))
    return Pretrained(create_model(name, **overrides), variables, preprocess, name)


def find_checkpoint(path: str | Path, step: str | int = "latest") -> tuple[Path, dict[str, Any]]:
    """The folder of one checkpoint, named by its step, and its meta: model, classes, preprocess, config, versions.

    Takes and raises what `load_checkpoint` does.
    """
    with _quiet():
        return _find_checkpoint(Path(path).resolve(), step)


def _find_checkpoint(path: Path, step: str | int) -> tuple[Path, dict[str, Any]]:
    if path.name.isdigit() and (path / "state").is_dir():
        path, step = path.parent, int(path.name)
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    if not folder.is_dir():
        raise FileNotFoundError(f"no run or checkpoint folder {str(path)!r}")
    options = ocp.CheckpointManagerOptions(read_only=True, best_fn=_top1)
    with ocp.CheckpointManager(folder, options=options, item_names=ITEMS) as manager:
        steps = manager.all_steps()
        if not steps:
            raise FileNotFoundError(f"no checkpoints in {str(folder)!r}")
        named = {"latest": manager.latest_step, "best": manager.best_step}
        if isinstance(step, str) and step not in named:
            raise ValueError(f"step {step!r}; valid: latest, best or a number")
        chosen = named[step]() if isinstance(step, str) else step
        if chosen not in steps:
            raise FileNotFoundError(f"no step {chosen} in {str(folder)!r}; valid: {', '.join(map(str, steps))}")
        meta = manager.restore(chosen, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
    if meta.get("format") != FORMAT:
        raise ValueError(f"{folder / str(chosen)} has format {meta.get('format')}; this version reads {FORMAT}")
    return folder / str(chosen), meta


def read_arrays(folder: Path, entries: tuple[str, ...]) -> dict[str, Any]:
    """Some of the trees saved in a `state` folder, as numpy arrays: what another device layout can read too."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        metadata = reader.metadata(folder).item_metadata
        if metadata is None:
            raise ValueError(f"{folder} cannot be read: it is damaged, or no checkpoint")
        saved = metadata.tree
        as_numpy = jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray), {name: saved[name] for name in entries}
        )
        item = jax.tree.map(lambda x: 0, as_numpy)
        args = ocp.args.PyTreeRestore(item=item, restore_args=as_numpy, partial_restore=True)
        return reader.restore(folder, args=args)


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
