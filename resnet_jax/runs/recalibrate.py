"""Running statistics as true averages over the training images, after training."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
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

from resnet_jax.checkpoints.manager import Checkpoints, open_checkpoint
from resnet_jax.config import LARGEST, to_dict
from resnet_jax.distributed.devices import AXIS, Parallel
from resnet_jax.files import expanded
from resnet_jax.runs.build import Session
from resnet_jax.runs.directory import config_of_steps, make_folder, record_config
from resnet_jax.runs.image_record import read_record, write_record
from resnet_jax.runs.plan import (
    adopt_preprocess,
    check_split,
    data_changes,
    frozen,
    make_plan,
    with_recorded_classes,
)
from resnet_jax.training.batch import complete
from resnet_jax.training.core import Augment, step_keys
from resnet_jax.training.freeze import keep_statistics
from resnet_jax.training.optim import PathPredicate
from resnet_jax.training.sown import SOWN
from resnet_jax.training.state import TrainState
from resnet_jax.types import Batch


def recalibrated(
    model: nn.Module,
    state: TrainState,
    batches: Iterable[Batch],
    parallel: Parallel,
    *,
    augment: Augment | None = None,
    accumulate: int = 1,
    kept_norms: PathPredicate | None = None,
) -> Any:
    """Batch statistics with the mean and the variance of all that each norm is given, over all of `batches`.

    Statistics of training move on while the weights do; these are of the weights as they are. Every norm is served as
    in training, by the statistics of a batch (of one device, or of those that share them), and sees all batches: the
    mean is that of the means, the variance that of the variances and of the means (He et al. 2015; Wu and Johnson 2021,
    "Rethinking 'Batch' in BatchNorm", section 3). Norms that are frozen stay as they are.

    Args:
      batches: on the host, of equal size.
      augment, accumulate: as for `make_train_step`.
      kept_norms: that training kept, by their parameters' paths (its `frozen`).

    Raises:
      ValueError: a net without running statistics, or with frozen ones alone; no batch.
    """
    if not state.batch_stats:
        raise ValueError("the net keeps no running statistics")
    taking = model.clone(norm=partial(model.norm, decay=0.0))  # what is kept is the batch's own

    def step(state: TrainState, batch: Batch) -> Any:
        augment_key, dropout, drop_path = step_keys(state.key, state.step)
        batch = complete(batch, AXIS)
        batch = batch if augment is None else augment(batch, augment_key)
        parts = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), dict(batch))
        found = []
        with nullcontext() if kept_norms is None else nn.intercept_methods(keep_statistics(kept_norms)):
            for i in range(accumulate):
                part = jax.tree.map(lambda x: x[i], parts)  # noqa: B023
                _, updated = taking.apply(
                    state.variables,
                    part["image"],
                    train=True,
                    example_index=part["index"],
                    mutable=["batch_stats", *SOWN],
                    rngs={"dropout": dropout, "drop_path": drop_path},
                )
                found.append(updated["batch_stats"])
        stacked = jax.tree.map(lambda *x: jax.numpy.stack(x), *found)
        return lax.all_gather(stacked, AXIS, tiled=True)

    run: Callable[..., Any] = parallel.map(step)
    kept = flatten_dict(jax.device_get(state.batch_stats))
    moved = replace(state, batch_stats=jax.tree.map(lambda x: x + 1, state.batch_stats))
    sums = {path: np.zeros((2, *x.shape)) for path, x in kept.items()}  # of statistics, and of their squares
    frozen_paths: set[Any] = set()
    parts = 0
    for number, batch in enumerate(parallel.prefetch(batches)):
        if not number:  # what gives back whatever statistics there were is frozen
            given = flatten_dict(jax.device_get(moved.batch_stats))
            found = flatten_dict(jax.device_get(run(moved, batch)))
            frozen_paths = {path for path, x in found.items() if (x == given[path]).all()}
            if frozen_paths == kept.keys():
                raise ValueError("every norm is frozen, and keeps its statistics; there is nothing to recalibrate")
        # Draws of their own: keyed by the batch's number, as if the run went on.
        found = flatten_dict(jax.device_get(run(replace(state, step=state.step + number), batch)))
        for path, x in found.items():
            sums[path] += np.stack([x.sum(0, np.float64), np.square(x, dtype=np.float64).sum(0)])
        parts += len(parallel.devices) * accumulate
    if not parts:
        raise ValueError("no batch to average over")
    new = {path: total / parts for path, (total, _) in sums.items()}
    for path in new:
        if path[-1] == "var":
            mean = (*path[:-1], "mean")
            new[path] = new[path] + np.maximum(sums[mean][1] / parts - new[mean] ** 2, 0)
    return unflatten_dict({path: x if path in frozen_paths else new[path].astype(x.dtype) for path, x in kept.items()})


def recalibrate(
    run: str | Path, out: str | Path, *, step: str | int = "latest", ema: bool = False, batches: int | None = None
) -> dict[str, Any]:
    """Writes a checkpoint of `run`, recalibrated over `batches` of its training batches (None: an epoch), as a run.

    Returns the means over the test images "before" and "after", the "step" and the number of "images".

    Args:
      ema: recalibrate the averaged weights' statistics, and not the others'.

    Raises:
      ValueError, OSError: no such run; a folder `out` that holds one; other data than the run's.
    """
    folder, out = expanded(run), expanded(out)
    if batches is not None and not 1 <= batches <= LARGEST:
        raise ValueError(f"batches={batches}; wanted: at least 1, at most {LARGEST:,}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} is not empty; wanted: a new folder for the recalibrated run")
    saved = open_checkpoint(folder, step)
    record = read_record(folder)
    plan = adopt_preprocess(make_plan(config_of_steps(folder, saved.step, saved.step), record), saved.preprocess)
    plan = with_recorded_classes(plan, saved.meta)
    changes, notes = data_changes(plan, saved.meta, record)
    if changes:
        raise ValueError(changes[0])
    for note in notes:
        warnings.warn(note, stacklevel=2)
    parallel = Parallel(plan.config.train.parallel)
    check_split(plan.config, len(parallel.devices))
    session = Session(plan, parallel)
    host = saved.state(session.fresh())
    if ema and not host.ema:
        raise ValueError(f"{saved.folder} has no averaged weights; optim.ema_decay keeps some")
    if not host.batch_stats:
        raise ValueError(f"{plan.config.model.name} keeps no running statistics")
    make_folder(out.parent)
    with TemporaryDirectory(prefix=f"{out.name}-", dir=out.parent) as beside:  # until all is there
        made = Path(beside) / "run"
        make_folder(made / "checkpoints")
        state = parallel.replicate(host.averaged if ema else host)
        before = session.test(replace(state, ema={}))
        number = plan.steps_per_epoch if batches is None else batches
        stats = recalibrated(
            plan.model,
            state,
            islice(session.batches(saved.step), number),
            parallel,
            augment=session.augment,
            accumulate=plan.config.optim.accumulate,
            kept_norms=frozen(plan.config.optim),
        )
        after = session.test(replace(state, ema={}, batch_stats=parallel.replicate(stats)))
        new = replace(host, ema={**host.ema, "batch_stats": stats}) if ema else replace(host, batch_stats=stats)
        config = replace(plan.config, workdir=str(out))
        meta = {
            **saved.meta,
            "config": to_dict(config),
            "recalibrated": {"from": str(run), "batches": number, "ema": ema},
        }
        with Checkpoints(made / "checkpoints") as checkpoints:
            checkpoints.save(saved.step, new, meta)
            checkpoints.tested(saved.step, {f"ema_{name}": x for name, x in after.items()} if ema else after)
        record_config(made, config, saved.step)
        if record is not None:
            write_record(made, record)
        (made / "metrics.jsonl").write_text(json.dumps({"step": saved.step, "split": "test", **after}) + "\n")
        made.rename(out)
    return {"step": saved.step, "images": number * plan.config.data.batch_size, "before": before, "after": after}
