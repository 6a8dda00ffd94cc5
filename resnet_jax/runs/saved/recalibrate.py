"""Recomputes running statistics as averages over training images, with the weights fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax

from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.config import LARGEST, to_dict
from resnet_jax.distributed.devices import AXIS, Parallel
from resnet_jax.files import expanded, replace_file, to_json
from resnet_jax.runs.files.config_file import record_config
from resnet_jax.runs.files.directory import make_directory
from resnet_jax.runs.files.image_record import write_record
from resnet_jax.runs.planning.optimizer import frozen
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.starting.opening import open_run, restore_run
from resnet_jax.tasks import Task
from resnet_jax.training.batch import complete
from resnet_jax.training.core import Augment, step_keys, step_rngs, training_pass
from resnet_jax.training.freeze import keep_statistics
from resnet_jax.training.lowest import LowestState
from resnet_jax.training.optim import PathPredicate
from resnet_jax.training.state import TrainState
from resnet_jax.types import Batch

ArrayPath = tuple[str, ...]  # in the batch statistics
Statistics = dict[ArrayPath, np.ndarray]
StatisticsStep = Callable[[TrainState, Batch], Any]


def recalibrated(
    model: nn.Module,
    state: TrainState,
    batches: Iterable[Batch],
    parallel: Parallel,
    *,
    augment: Augment | None = None,
    accumulate: int = 1,
    frozen_norms: PathPredicate | None = None,
) -> Any:
    """Mean and variance of the input of each norm over all `batches`, as batch statistics.

    Statistics from training follow the changing weights; these belong to the given weights. Every norm normalises with
    the statistics of a batch as in training (of one device, or of those that share them). The mean is that of the batch
    means; the variance is the mean of the batch variances plus the variance of the batch means (He et al. 2015; Wu and
    Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3). Frozen norms keep their statistics.

    Args:
      batches: on the host, of equal size.
      augment, accumulate: as for `make_train_step`.
      frozen_norms: norms that training froze, by their parameters' paths (its `frozen`).

    Raises:
      ValueError: a model without running statistics, or with frozen norms only; no batch.
    """
    if not state.batch_stats:
        raise ValueError("the model has no running statistics")
    run = parallel.map(_statistics_step(model, augment, accumulate, frozen_norms))
    original = flatten_dict(jax.device_get(state.batch_stats))
    sums, frozen_paths = _Sums(original), set[ArrayPath]()
    for number, batch in enumerate(parallel.prefetch(batches)):
        if not number:
            frozen_paths = _frozen_paths(run, state, batch)
            if frozen_paths == original.keys():
                raise ValueError("every norm is frozen and keeps its statistics; there is nothing to recalibrate")
        # Random numbers are keyed by the batch's number, as if training continued.
        sums.add(_flat_statistics(run, replace(state, step=state.step + number), batch))
    if not sums.parts:
        raise ValueError("no batch to average over")
    means = sums.means()
    new = {at: x if at in frozen_paths else means[at].astype(x.dtype) for at, x in original.items()}
    return unflatten_dict(new)


def _statistics_step(
    model: nn.Module, augment: Augment | None, accumulate: int, frozen_norms: PathPredicate | None
) -> StatisticsStep:
    """(state, batch) -> the statistics that each part of the batch has in training, stacked over parts and devices."""
    current = model.clone(norm=partial(model.norm, decay=0.0))  # its running statistics are those of the last batch

    def step(state: TrainState, batch: Batch) -> Any:
        augment_key, dropout, drop_path = step_keys(state.key, state.step)
        batch = complete(batch, AXIS)
        batch = batch if augment is None else augment(batch, augment_key)
        parts = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), dict(batch))
        rngs = step_rngs(dropout, drop_path)
        statistics = []
        with nullcontext() if frozen_norms is None else nn.intercept_methods(keep_statistics(frozen_norms)):
            for i in range(accumulate):
                part = jax.tree.map(lambda x: x[i], parts)  # noqa: B023
                _, updated = training_pass(current, state.params, state.batch_stats, part, rngs)
                statistics.append(updated["batch_stats"])
        stacked = jax.tree.map(lambda *x: jax.numpy.stack(x), *statistics)
        return lax.all_gather(stacked, AXIS, tiled=True)

    return step


def _flat_statistics(run: StatisticsStep, state: TrainState, batch: Batch) -> Statistics:
    return flatten_dict(jax.device_get(run(state, batch)))


def _frozen_paths(run: StatisticsStep, state: TrainState, batch: Batch) -> set[ArrayPath]:
    """Paths of frozen statistics: their norms return whatever statistics they had."""
    moved = replace(state, batch_stats=jax.tree.map(lambda x: x + 1, state.batch_stats))
    initial = flatten_dict(jax.device_get(moved.batch_stats))
    return {at for at, x in _flat_statistics(run, moved, batch).items() if (x == initial[at]).all()}


class _Sums:
    """Sums of statistics and of their squares over parts of batches, float64."""

    def __init__(self, like: Statistics) -> None:
        self.parts = 0
        self._sums = {at: np.zeros((2, *x.shape)) for at, x in like.items()}

    def add(self, statistics: Statistics) -> None:
        for at, x in statistics.items():
            self._sums[at] += np.stack([x.sum(0, np.float64), np.square(x, dtype=np.float64).sum(0)])
        self.parts += len(next(iter(statistics.values())))

    def means(self) -> Statistics:
        """Means; of variances with the variance of the means added."""
        means = {at: total / self.parts for at, (total, _) in self._sums.items()}
        for at in means:
            if at[-1] == "var":
                mean = (*at[:-1], "mean")
                means[at] = means[at] + np.maximum(self._sums[mean][1] / self.parts - means[mean] ** 2, 0)
        return means


def recalibrate(
    run: str | Path,
    out: str | Path,
    *,
    step: str | int = "latest",
    ema: bool = False,
    batches: int | None = None,
    task: Task | None = None,
) -> dict[str, Any]:
    """Writes `run` to the directory `out` with statistics from `batches` training batches (None: an epoch of them).

    Returns the test results "before" and "after", the "step", the number of "images" that were used and that of
    "training_images": an epoch is whole batches, so its last few images are not used.

    Args:
      ema: recalibrate only the statistics of the averaged weights.
      task: that of a run of a task of your own.

    Raises:
      ValueError, OSError: no such run; `out` is not empty; the data has changed.
    """
    if batches is not None and not 1 <= batches <= LARGEST:
        raise ValueError(f"expected --batches from 1 to {LARGEST:,}, got {batches}")
    out = expanded(out)
    _check_empty(out)
    saved = open_run(run, step, task=task)
    restored, checkpoint = restore_run(saved), saved.checkpoint
    trainer, host = restored.trainer, restored.state
    plan = trainer.plan
    if ema and not host.ema:
        raise ValueError(f"{checkpoint.path} has no averaged weights; --optim.ema-decay keeps them")
    if not host.batch_stats:
        raise ValueError(f"{plan.config.model.name} has no running statistics")
    number = max(1, plan.train.num_examples // plan.config.data.batch_size) if batches is None else batches
    config = replace(plan.config, workdir=str(out))
    origin = {"from": str(run), "batches": number, "ema": ema}
    metadata = {**checkpoint.metadata, "config": to_dict(config), "recalibrated": origin}
    make_directory(out.parent)
    with TemporaryDirectory(prefix=f"{out.name}-", dir=out.parent) as temporary:  # renamed once it is complete
        directory = Path(temporary) / "run"
        make_directory(directory / "checkpoints")
        new, before, after = _recalibrate_state(trainer, host, checkpoint.step, number, ema=ema)
        results = after
        if ema:  # those of the weights themselves are as before
            raw = checkpoint.test_results or trainer.test(replace(trainer.parallel.replicate(host), ema={}))
            averaged = {f"ema_{name}": x for name, x in after.items() if name != "images"}
            results = {**raw, **averaged, "images": after["images"]}
        with Checkpoints(directory / "checkpoints", best=plan.best) as checkpoints:
            checkpoints.save(checkpoint.step, new, metadata)
            checkpoints.record_test(checkpoint.step, results)
        record_config(directory, config, checkpoint.step)
        if plan.record is not None:
            write_record(directory, plan.record)
        line = to_json({"step": checkpoint.step, "split": "test", **results})
        replace_file(directory / "metrics.jsonl", f"{line}\n")
        directory.rename(out)
    images = number * min(plan.config.data.batch_size, plan.train.num_examples)
    counts = {"images": images, "training_images": plan.train.num_examples}
    return {"step": checkpoint.step, **counts, "before": before, "after": after}


def _whole_batches(trainer: Trainer, completed: int) -> Iterator[Batch]:
    """Training batches after `completed` steps: only full ones, unless the set is smaller than one."""
    train, size = trainer.plan.train, trainer.plan.config.data.batch_size
    for batch in trainer.batches(completed):
        if not train.keeps_last or train.num_examples < size or batch["mask"].all():
            yield batch


def _check_empty(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"expected an empty or new directory for the recalibrated run, got {out}, which has files")


def _recalibrate_state(
    trainer: Trainer, host: TrainState, completed: int, number: int, *, ema: bool
) -> tuple[TrainState, dict[str, float], dict[str, float]]:
    """`host` with statistics of `number` batches after `completed` steps, and the test results before and after."""
    plan, parallel = trainer.plan, trainer.parallel
    state = parallel.replicate(replace(host.averaged if ema else host.selected, ema={}))
    before = trainer.test(state)
    stats = recalibrated(
        plan.model,
        state,
        islice(_whole_batches(trainer, completed), number),
        parallel,
        augment=trainer.augment,
        accumulate=plan.config.optim.accumulate,
        frozen_norms=frozen(plan.config.optim, plan.model),
    )
    after = trainer.test(replace(state, batch_stats=parallel.replicate(stats)))
    if ema:
        return replace(host, ema={**host.ema, "batch_stats": stats}), before, after
    if isinstance(host, LowestState):
        return replace(host, lowest={**host.lowest, "batch_stats": stats}), before, after
    return replace(host, batch_stats=stats), before, after
