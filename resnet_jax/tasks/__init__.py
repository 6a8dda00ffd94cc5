"""Kinds of problems: loss, metrics and predictions of each, by name."""

from resnet_jax.tasks.classification import Classification
from resnet_jax.tasks.protocol import BaseTask, Rows, Task, TaskOptions, Term, Terms

TASKS: dict[str, type[BaseTask]] = {Classification.name: Classification}

__all__ = ["TASKS", "BaseTask", "Classification", "Rows", "Task", "TaskOptions", "Term", "Terms"]
