"""Kinds of problems: loss, metrics and predictions of each, by name."""

from resnet_jax.tasks.classification import Classification
from resnet_jax.tasks.multilabel import MultiLabel
from resnet_jax.tasks.protocol import BaseTask, Details, Rows, Task, TaskOptions, Term, Terms
from resnet_jax.tasks.regression import Regression

TASKS: dict[str, Task] = {task.name: task for task in (Classification(), MultiLabel(), Regression())}

__all__ = [
    "TASKS",
    "BaseTask",
    "Classification",
    "Details",
    "MultiLabel",
    "Regression",
    "Rows",
    "Task",
    "TaskOptions",
    "Term",
    "Terms",
]
