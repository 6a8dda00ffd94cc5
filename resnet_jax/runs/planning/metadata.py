"""Metadata of a run's checkpoints."""

from __future__ import annotations

from typing import Any

from resnet_jax.config import to_dict
from resnet_jax.runs.files.versions import versions
from resnet_jax.runs.planning.numerics import NUMERICS
from resnet_jax.runs.planning.plan import RunPlan


def checkpoint_metadata(plan: RunPlan, step: int) -> dict[str, Any]:
    """Metadata of a checkpoint: all that it records beside its arrays."""
    return {
        "model": {"name": plan.config.model.name, "overrides": plan.overrides},
        "task": plan.task.name,
        "task_record": plan.task.record(),
        "classes": list(plan.train.classes),
        "preprocess": plan.preprocess.record(),
        "versions": versions(),
        "numerics": NUMERICS,
        "config": to_dict(plan.config),
        "data": {"next_step": step} | data_metadata(plan),
    }


def data_metadata(plan: RunPlan) -> dict[str, Any]:
    """Metadata of the data. It must not change when a run resumes: it decides which images the run is trained on."""
    images = {"train": plan.train.num_examples, "test": plan.test.num_examples}
    digests = {split: identity.digests for split, identity in zip(images, plan.identities, strict=True)}
    metadata = {"images": images, "classes": list(plan.train.classes), "digests": digests}
    if plan.config.data.class_names is not None:  # names by position mean other classes when the order changes
        metadata["own_classes"] = list(plan.own_classes)
    return metadata
