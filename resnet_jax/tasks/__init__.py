"""Kinds of problems: loss, metrics and predictions of each, by name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from resnet_jax.errors import check_type, described, did_you_mean
from resnet_jax.tasks.base import BaseTask
from resnet_jax.tasks.classification import Classification
from resnet_jax.tasks.contrastive import Contrastive
from resnet_jax.tasks.detection import Detection
from resnet_jax.tasks.language_model import LanguageModel
from resnet_jax.tasks.multilabel import MultiLabel
from resnet_jax.tasks.protocol import Details, Predictions, Rows, Task, TaskOptions, Term, Terms
from resnet_jax.tasks.regression import Regression
from resnet_jax.tasks.segmentation import Segmentation
from resnet_jax.tasks.transcription import Transcription
from resnet_jax.types import LabelKind

IN_PYTHON = "in Python, pass that task as the argument task"  # a hint of messages
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *(Classification(), MultiLabel(), Regression(), Segmentation(), Detection()),
        *(LanguageModel(), Transcription(), Contrastive()),
    )
}

__all__ = [
    "TASKS", "BaseTask", "Classification", "Contrastive", "Details", "Detection", "LanguageModel", "MultiLabel",
    "Predictions", "Regression", "Rows", "Segmentation", "Task", "TaskOptions", "Term", "Terms", "Transcription",
    "check_definition", "check_record", "check_task", "get_task", "task_name", "task_of_checkpoint",
]  # fmt: skip


def get_task(name: str) -> Task:
    """The registered task `name`, before it is fitted to data.

    Raises:
      ValueError: an unknown name.
    """
    if not isinstance(name, str) or name not in TASKS:
        raise ValueError(f"expected a task, got {name!r}; {did_you_mean(str(name), TASKS)}")
    return TASKS[name]


def check_definition(task: Task) -> None:
    """Raises TypeError or ValueError for an object that is no task: a name, or one with other fields than a task's."""
    if not isinstance(getattr(task, "name", None), str):
        raise TypeError(
            f"expected a task with a name, got {described(task)}; get_task(name) returns one of {', '.join(TASKS)}"
        )
    if missing := [
        name for name in ("for_data", "build", "objective", "evaluator", "record") if not hasattr(task, name)
    ]:
        raise TypeError(f"expected a task, got {described(task)} without {', '.join(missing)}; BaseTask has defaults")
    if task.label_kind not in get_args(LabelKind):
        expected = did_you_mean(str(task.label_kind), get_args(LabelKind))
        raise ValueError(f"task {task.name!r}: expected a label_kind, got {task.label_kind!r}; {expected}")
    measures = task.measures
    if not isinstance(measures, Mapping) or not measures or not set(measures.values()) <= {1, -1}:
        raise ValueError(f"task {task.name!r}: expected measures {{name: 1 or -1}}, one or more, got {measures!r}")


def check_record(task: Task) -> None:
    """Raises TypeError for a task with a record that JSON cannot hold."""
    record = task.record()
    check_type(record, Mapping, f"a record of the task {task.name!r} as a dict")
    try:
        json.dumps(record)
    except (TypeError, ValueError) as error:
        raise TypeError(f"task {task.name!r}: expected a record() that JSON can hold; {error}") from None


def task_of_checkpoint(metadata: Mapping[str, Any], task: Task | None = None) -> Task:
    """The task that a checkpoint's metadata names; classification in those of before tasks were recorded.

    Args:
      task: a task of your own, which is not in `TASKS`.

    Raises:
      ValueError: the checkpoint is of another task than `task`, or of one that is not in `TASKS`.
    """
    name = task_name(metadata)
    if task is not None:
        check_task(task, metadata)
    elif name not in TASKS:
        raise ValueError(f"expected a run of {', '.join(TASKS)}, got one of {name!r}; {IN_PYTHON}")
    fitted = (task or get_task(name)).for_data(_Classes(metadata), TaskOptions())
    return fitted.restored(metadata.get("task_record", {}), with_options=True)


def check_task(task: Task, metadata: Mapping[str, Any]) -> None:
    """Raises ValueError if a checkpoint with this metadata is of another task."""
    check_definition(task)
    name = task_name(metadata)
    if task.name != name:
        hint = f"--task {name} chooses it" if name in TASKS else IN_PYTHON
        raise ValueError(f"expected the task of the run, {name!r}, got {task.name!r}; {hint}")


def task_name(metadata: Mapping[str, Any]) -> str:
    """The name of the task of a checkpoint with this metadata."""
    name: str = metadata.get("task", Classification.name)
    return name


@dataclass(frozen=True)
class _Classes:
    """A checkpoint's classes in the place of data."""

    metadata: Mapping[str, Any]
    num_examples: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.metadata["classes"])

    @property
    def labels(self) -> np.ndarray:
        return np.zeros(0, np.int32)
