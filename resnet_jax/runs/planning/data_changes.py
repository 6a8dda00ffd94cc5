"""Compares the data of a run with the data that its checkpoint was made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax import data
from resnet_jax.data.sources.identity import MANY, differences, repaired
from resnet_jax.data.sources.subsets import identify
from resnet_jax.errors import composed
from resnet_jax.runs.files.config_file import read_config
from resnet_jax.runs.files.image_record import ImageRecord, make_record, read_record
from resnet_jax.runs.planning.datasets import open_data
from resnet_jax.runs.planning.metadata import data_metadata
from resnet_jax.runs.planning.plan import RunPlan, make_task
from resnet_jax.tasks import Task, get_task


def data_changes(
    plan: RunPlan, metadata: Mapping[str, Any], record: ImageRecord | None = None, *, exact: bool = False
) -> tuple[list[str], list[str]]:
    """How the data differs from a checkpoint's metadata: changes that affect training, at most one line; and notes.

    Notes are on other test images, and on a few training images with other contents, as after a repair (`repaired`).

    Args:
      record: the run's images, for details.
      exact: completed steps are to be repeated, so that a repaired training image is a change.
    """
    before, now = metadata.get("data", {}), data_metadata(plan)
    earlier = {name: before.get(name, value) for name, value in now.items()}
    names = [name for name in now if name not in ("digests", "images") and earlier[name] != now[name]]
    changes = [f"{name} {earlier[name]}, now {now[name]}" for name in names]
    if earlier["images"]["train"] != now["images"]["train"]:
        changes.append(f"{plan.nouns[1]} {earlier['images']}, now {now['images']}")
    notes: list[str] = []
    noun, many = plan.nouns
    for split, identity in zip(now["images"], plan.identities, strict=True):
        recorded = None if record is None else getattr(record, split)
        details = [] if recorded is None else differences(recorded, identity)
        old, new = before.get("digests", {}).get(split), now["digests"][split]
        is_comparable = old is not None and old["kind"] == new["kind"]
        count = 0
        if record is not None and recorded is not None and not (exact and split == "train"):
            count = repaired(recorded, identity, np.union1d(record.trained, record.test.fingerprints))
        is_changed = old["set"] != new["set"] if is_comparable else count > 0
        if count and (is_changed or not is_comparable):
            images = f"{count:,} {split} {f'{many} have' if count > 1 else f'{noun} has'}"
            notes.append(f"{images} other contents than before, under the same name and label")
        elif split == "test" and (is_changed or earlier["images"][split] != now["images"][split]):
            detail = ", ".join(details) or f"{earlier['images'][split]:,} before, now {now['images'][split]:,}"
            notes.append(f"the test {many} have changed ({detail}): results before and after are not comparable")
        elif is_changed:
            changes.append(f"{split} {many}: {', '.join(details) or 'others than before'}")
        elif split == "train" and is_comparable and old["order"] != new["order"]:
            detail = f" ({', '.join(details)})" if details else ""
            changes.append(f"train {many} in another order{detail}, which changes the batches")
    if (changes or notes) and record is not None:
        test = plan.identities[1].fingerprints
        count = int(np.isin(test, record.trained).sum())
        (changes or notes).extend([f"{count:,} of {len(test):,} test {many} were trained on before"] if count else [])
    return [f"the data has changed since this run began: {'; '.join(changes)}"] if changes else [], notes


def with_recorded_classes(plan: RunPlan, metadata: Mapping[str, Any]) -> RunPlan:
    """The plan with its classes in the order of a checkpoint's, if only the order differs."""
    recorded, classes = tuple(metadata["classes"]), plan.train.classes
    if recorded == classes or sorted(map(composed, recorded)) != sorted(map(composed, classes)):
        return plan
    if plan.config.data.classes is not None or plan.config.data.class_names is not None:  # the user chose an order
        return plan
    train, test = (data.with_classes(source, recorded) for source in (plan.train, plan.test))
    return replace(plan, train=train, test=test, task=make_task(plan.config, train, plan.task))


def record_of(run: str | Path, metadata: Mapping[str, Any], task: Task | None = None) -> ImageRecord | None:
    """The record of a run's images; `metadata` is a checkpoint's, and `task` is that of a run of a task of your own.

    Runs of version 0.1.0 have none: it is made from their data, if that still has as many images of the same classes;
    else None is returned.

    Raises:
      ValueError: the record is corrupted.
    """
    if (record := read_record(run)) is not None:
        return record
    try:
        config = read_config(run)
        *_, train, test = open_data(config.data, label_kind=(task or get_task(config.task)).label_kind)
    except (ValueError, OSError):  # the data has gone
        return None
    before = metadata.get("data", {})
    now = {"images": {"train": train.num_examples, "test": test.num_examples}, "classes": list(train.classes)}
    if any(before.get(name, value) != value for name, value in now.items()):
        return None
    kind = "names" if len(train.examples) + len(test.examples) > MANY else "contents"
    return make_record(identify(train.examples, kind), identify(test.examples, kind))


def shared_note(plan: RunPlan) -> list[str]:
    """A note on test images that are trained on too, themselves or as copies, if there are any."""
    train, test = plan.identities
    count = int(np.isin(test.fingerprints, train.fingerprints).sum()) if train.kind == test.kind else 0
    images = f"{count:,} of the {len(test.fingerprints):,} test {plan.nouns[1]}"
    problem = "are also trained on, as the same file or a copy: their test results are too good"
    return [f"{images} {problem}"] if count else []
