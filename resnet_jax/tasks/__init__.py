"""Kinds of problems: loss, metrics and predictions of each, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet_jax.errors import did_you_mean
from resnet_jax.tasks.classification import Classification
from resnet_jax.tasks.multilabel import MultiLabel
from resnet_jax.tasks.protocol import BaseTask, Details, Predictions, Rows, Task, TaskOptions, Term, Terms
from resnet_jax.tasks.regression import Regression

TASKS: dict[str, Task] = {task.name: task for task in (Classification(), MultiLabel(), Regression())}

__all__ = [
    "TASKS", "BaseTask", "Classification", "Details", "MultiLabel", "Predictions", "Regression", "Rows", "Task",
    "TaskOptions", "Term", "Terms", "get_task", "task_of_checkpoint",
]  # fmt: skip


def get_task(name: str) -> Task:
    """The registered task `name`, before it is fitted to data.

    Raises:
      ValueError: an unknown name.
    """
    if name not in TASKS:
        raise ValueError(f"expected a task, got {name!r}; {did_you_mean(name, TASKS)}")
    return TASKS[name]


def task_of_checkpoint(metadata: Mapping[str, Any]) -> Task:
    """The task that a checkpoint's metadata names; classification in those of before tasks were recorded.

    Raises:
      ValueError: a task of your own, which is not in `TASKS`.
    """
    task = get_task(metadata.get("task", Classification.name)).for_data(_Classes(metadata), TaskOptions())
    return task.restored(metadata["task_record"]) if "task_record" in metadata else task


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
